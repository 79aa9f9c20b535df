"""A site that answers as MacCMS 10 does, for tests."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web


def vod(number: int, **more: Any) -> dict[str, Any]:
    """A row of `mac_vod`, with the types that PHP gives its columns."""
    return {
        "vod_id": number,
        "type_id": 13,
        "vod_name": f"斗罗大陆{number}",
        "vod_sub": "",
        "vod_pic": "/upload/vod/1.jpg",
        "vod_actor": "沈磊,程玉珠",
        "vod_director": "沈乐平",
        "vod_content": "<p>唐门&nbsp;外门弟子<br/>唐三</p>",
        "vod_remarks": "更新至02集",
        "vod_area": "大陆",
        "vod_lang": "国语",
        "vod_year": "2018",
        "vod_score": "8.6",
        "vod_duration": "",
        "vod_play_from": "m3u8a$$$yun",
        "vod_play_server": "no$$$no",
        "vod_play_note": "$$$",
        "vod_play_url": f"第01集$https://v.example/{number}/1.m3u8#第02集$https://v.example/{number}/2.m3u8"
        f"$$$第01集$https://v.example/share/{number}",
        "vod_down_from": "",
        "vod_down_url": "",
        "vod_time": 1527300000 + number,
        **more,
    }


class MacCMS:
    """What `application/api/controller/Provide.php` answers, over rows in memory."""

    def __init__(self, rows: list[dict[str, Any]], known: tuple[str, ...] = ("list", "detail", "videolist")):
        self.rows = rows
        self.known = known
        self.pagesize = 20
        self.asked: list[dict[str, str]] = []

    async def vod(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append(asked)
        xml = asked.get("at") == "xml" or request.path.rstrip("/").endswith("/at/xml")
        if asked.get("ac", "list") not in self.known:
            return web.Response(text="", content_type="text/html")
        rows = [row for row in self.rows if asked.get("wd", "") in row["vod_name"]]
        if ids := asked.get("ids"):
            rows = [row for row in rows if str(row["vod_id"]) in ids.split(",")]
        page = int(asked.get("pg") or 1)
        count = -(-len(rows) // self.pagesize)
        part = rows[(page - 1) * self.pagesize : page * self.pagesize]
        full = asked.get("ac") in ("detail", "videolist")
        body = (
            self.xml(part, page, count, len(rows), full)
            if xml
            else self.json(part, page, count, len(rows), full)
        )
        # PHP says text/html of both, unless told otherwise.
        return web.Response(text=body, content_type="text/html", charset="utf-8")

    def json(self, rows: list[dict[str, Any]], page: int, count: int, total: int, full: bool) -> str:
        brief = ("vod_id", "vod_name", "type_id", "vod_time", "vod_remarks", "vod_play_from")
        listed = []
        for row in rows:
            one = dict(row) if full else {key: row[key] for key in brief}
            one |= {"type_name": "国产动漫", "vod_time": "2018-05-26 10:00:00"}
            if not full:
                one["vod_play_from"] = one["vod_play_from"].replace("$$$", ",")
            listed.append(one)
        answer = {
            "code": 1,
            "msg": "数据列表",
            "page": page,
            "pagecount": count,
            "limit": str(self.pagesize),
            "total": total,
            "list": listed,
        }
        return json.dumps(answer, ensure_ascii=False)

    def xml(self, rows: list[dict[str, Any]], page: int, count: int, total: int, full: bool) -> str:
        text = '<?xml version="1.0" encoding="utf-8"?><rss version="5.1">'
        text += f'<list page="{page}" pagecount="{count}" pagesize="{self.pagesize}" recordcount="{total}">'
        for row in rows:
            text += f"<video><last>2018-05-26 10:00:00</last><id>{row['vod_id']}</id><tid>13</tid>"
            text += f"<name><![CDATA[{row['vod_name']}]]></name><type>国产动漫</type>"
            if full:
                groups = zip(row["vod_play_from"].split("$$$"), row["vod_play_url"].split("$$$"), strict=True)
                lists = "".join(f'<dd flag="{name}"><![CDATA[{urls}]]></dd>' for name, urls in groups)
                text += (
                    f"<pic>{row['vod_pic']}</pic><lang>{row['vod_lang']}</lang><area>{row['vod_area']}</area>"
                )
                text += f"<year>{row['vod_year']}</year><state>0</state><note><![CDATA[{row['vod_remarks']}]]></note>"
                text += f"<actor><![CDATA[{row['vod_actor']}]]></actor><director><![CDATA[{row['vod_director']}]]>"
                text += f"</director><dl>{lists}</dl><des><![CDATA[{row['vod_content']}]]></des>"
            else:
                text += f"<dt>{row['vod_play_from']}</dt><note><![CDATA[{row['vod_remarks']}]]></note>"
            text += "</video>"
        return f"{text}</list></rss>"
