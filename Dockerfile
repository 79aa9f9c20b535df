# The page, the wheel, and an image with neither node nor compilers.
FROM node:22-bookworm-slim AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY web ./
RUN npm run build

FROM python:3.13-slim-bookworm AS wheels
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY config config
COPY plugins plugins
COPY service service
# Without web/ the build takes the page as it is.
COPY --from=page /src/service/_web service/_web
RUN pip wheel --no-cache-dir --wheel-dir /wheels .

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /srv/plugbay --create-home --shell /usr/sbin/nologin plugbay
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels plugbay && rm -rf /wheels

# It listens on every address of the container, so a token is needed: the log of the first start has the sign-in address.
ENV PLUGBAY_HOME=/srv/plugbay \
    PLUGBAY_SERVER__HOST=0.0.0.0 \
    PLUGBAY_SERVER__PORT=8000 \
    PYTHONUNBUFFERED=1
USER plugbay
WORKDIR /srv/plugbay
VOLUME /srv/plugbay
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PLUGBAY_SERVER__PORT']}/livez\", timeout=3)"]
STOPSIGNAL SIGTERM
# tini is process 1: it passes signals on and reaps what plugins leave behind.
ENTRYPOINT ["tini", "--", "plugbay"]
CMD ["serve"]
