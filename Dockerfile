# The service with its models, on a processor: docker build -t recur:cpu .
# On a CUDA device: docker build --build-arg RECUR_EXTRA=gpu -t recur:gpu .
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ARG RECUR_EXTRA=cpu
WORKDIR /src
# pip stays outside the environment that the image gets.
RUN python -m venv --without-pip /opt/recur
ENV PIP_CACHE_DIR=/var/cache/pip PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# What the service needs changes less often than the service: a layer of its own.
COPY pyproject.toml constraints.txt ./
RUN python -c "import sys, tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*project['dependencies'], *project['optional-dependencies'][sys.argv[1]], sep='\n')" "$RECUR_EXTRA" > requirements.txt
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/recur/bin/python install -c constraints.txt -r requirements.txt

COPY README.md ./
COPY service/ service/
# The command `recur` trains, and training is not in this image. Tests of other people's packages
# are not either. Bytecode is made here, because the running container cannot write it.
RUN --mount=type=cache,target=/var/cache/pip \
    pip --python /opt/recur/bin/python install --no-deps . \
    && rm -f /opt/recur/bin/recur \
    && find /opt/recur/lib -type d -path '*/onnx/backend/test' -prune -exec rm -rf {} + \
    && find /opt/recur/lib -type d -path '*/numpy/*' -name tests -prune -exec rm -rf {} + \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/recur/lib

# Readable for every user, whatever the modes of the checkout are.
COPY models/ /srv/models/
RUN chmod -R u=rwX,go=rX /srv/models

FROM python:${PYTHON_VERSION}-slim
COPY --from=build /opt/recur /opt/recur
COPY --from=build /srv/models /srv/models
ENV PATH=/opt/recur/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    RECUR_HOST=0.0.0.0 \
    RECUR_PORT=8000 \
    RECUR_MODELS_DIR=/srv/models \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /srv
# Nobody in particular: a number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# By a bare socket: importing an HTTP client costs more than all the rest of the check.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "-c", "import os, socket, sys; s = socket.create_connection(('127.0.0.1', int(os.environ['RECUR_PORT'])), 2); s.sendall(b'GET /healthz/ready HTTP/1.0\\r\\n\\r\\n'); sys.exit(s.recv(12)[9:] != b'200')"]
ENTRYPOINT ["python", "-m", "service"]
