# The server alone, as a user without rights, on port 5300: publish it as 53.
FROM python:3.12-slim AS build
COPY pyproject.toml constraints.txt README.md /src/
COPY dnsd /src/dnsd
RUN python -m venv /opt/dnsd && /opt/dnsd/bin/pip install --no-cache-dir --constraint /src/constraints.txt /src

FROM python:3.12-slim
COPY --from=build /opt/dnsd /opt/dnsd
RUN useradd --system --no-create-home dnsd
USER dnsd
ENV PATH=/opt/dnsd/bin:$PATH DNSD_CONFIG=/config/dnsd.yaml DNSD_LISTEN="0.0.0.0:5300, [::]:5300" PYTHONUNBUFFERED=1
EXPOSE 5300/udp 5300/tcp
VOLUME /config
STOPSIGNAL SIGTERM
ENTRYPOINT ["dnsd"]
CMD ["serve"]
