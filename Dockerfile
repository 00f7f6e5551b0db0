# The tradebook command: small, not root, healthy when it reaches a book that it can use.
#   docker build --tag tradebook .
#   docker run --rm --env TRADEBOOK_DATABASE_URL tradebook doctor
FROM python:3.13-slim AS build
COPY . /source
RUN python -m venv /opt/tradebook \
    && /opt/tradebook/bin/pip install --no-cache-dir '/source[prometheus]'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home tradebook
COPY --from=build /opt/tradebook /opt/tradebook
ENV PATH=/opt/tradebook/bin:$PATH PYTHONUNBUFFERED=1
USER tradebook
WORKDIR /data
HEALTHCHECK --interval=30s --timeout=20s --start-period=20s \
    CMD ["tradebook", "doctor", "--quick"]
ENTRYPOINT ["tradebook"]
CMD ["--help"]
