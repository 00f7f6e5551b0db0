# The tradebook command: not root, healthy when it reaches a book of its version. With PostgreSQL's programs
# for `backup` and `restore`; what starts a server (--verify, restore --into) is for a machine that has one.
#   docker build --tag tradebook .
#   docker run --rm --env TRADEBOOK_DATABASE_URL tradebook doctor
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /opt/tradebook \
    && /opt/tradebook/bin/pip install --no-cache-dir '/source[prometheus]'

FROM python:3.13-slim
# Of PostgreSQL's own packages: Debian's are older than the server, and would refuse it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install --yes --no-install-recommends postgresql-client-18 \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /data --create-home tradebook
COPY --from=build /opt/tradebook /opt/tradebook
ENV PATH=/opt/tradebook/bin:$PATH PYTHONUNBUFFERED=1
USER tradebook
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=20s \
    CMD ["tradebook", "db", "current"]
ENTRYPOINT ["tradebook"]
CMD ["--help"]
