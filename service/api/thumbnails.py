"""The route of pictures from elsewhere, which the page's content policy lets it load from here only."""

from __future__ import annotations

from aiohttp import web

from service.api.keys import THUMBNAILS
from service.api.params import text_in_query

_HEADERS = {
    "Cache-Control": "private, max-age=86400",
    # Opened by itself it is a file to be saved, and never a page.
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
}


async def get_thumbnail(request: web.Request) -> web.Response:
    """Get the picture at an address, fetched by the server: PNG, JPEG, GIF, WebP or AVIF, 5 MiB at most.

    Addresses of private networks are refused unless `thumbnails.private_hosts` has their host.
    """
    picture = await request.app[THUMBNAILS].get(text_in_query(request, "url"))
    disposition = f'attachment; filename="thumbnail.{picture.format}"'
    return web.Response(
        body=picture.content,
        content_type=picture.media_type,
        headers={**_HEADERS, "Content-Disposition": disposition},
    )
