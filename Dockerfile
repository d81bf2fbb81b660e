# The server, as an unprivileged user, on port 5300: publish it as 53. The root filesystem may be read-only: the server writes
# to /state. Mount settings and data at /config.
# This stage has a compiler, for the C parts.
FROM python:3.12 AS build
COPY pyproject.toml setup.py constraints.txt README.md LICENSE /src/
RUN python -m venv /opt/dnsd && /opt/dnsd/bin/pip install --no-cache-dir --require-hashes --requirement /src/constraints.txt
COPY dnsd /src/dnsd
RUN /opt/dnsd/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

FROM python:3.12-slim
RUN groupadd --gid 10053 dnsd \
    && useradd --uid 10053 --gid 10053 --no-create-home --home-dir /state --shell /usr/sbin/nologin dnsd \
    && install --directory --owner 10053 --group 10053 --mode 0700 /state
COPY --from=build /opt/dnsd /opt/dnsd
# A number, as Kubernetes cannot tell from a name that the user is not root (runAsNonRoot).
USER 10053:10053
# These override the settings file. Metrics and the API listen on all addresses of the container: the API asks for a token, and
# the container publishes no port by itself.
ENV PATH=/opt/dnsd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DNSD_CONFIG=/config/dnsd.yaml \
    DNSD_STATE=/state \
    DNSD_LISTEN="0.0.0.0:5300, [::]:5300" \
    DNSD_METRICS__LISTEN=0.0.0.0:9153 \
    DNSD_API__LISTEN=0.0.0.0:8053
VOLUME /state
EXPOSE 5300/udp 5300/tcp 9153/tcp 8053/tcp
STOPSIGNAL SIGTERM
# Asks the server for the root zone; any answer counts, also REFUSED. It asks over DNS, not at /healthz, so that a fault of the
# metrics does not end the container.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
    "import os, re, dns.message as m, dns.query as q; q.udp(m.make_query('.', 'SOA'), '127.0.0.1', timeout=3, port=int(re.findall(r':(\\d+)', os.environ['DNSD_LISTEN'])[-1]))"]
ENTRYPOINT ["dnsd"]
CMD ["serve"]
