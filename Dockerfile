# The program on the CPU, with the server and the exporter; docs/serving.md#container
#   docker build --tag bert-mindspore .
#   docker run --rm --publish 8000:8000 --volume "$PWD/cola_bundle:/bundle:ro" bert-mindspore
FROM python:3.11-slim-bookworm

# g++ compiles the CPU's kernels on first use (src/kernels/native.py)
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 bert

WORKDIR /bert
COPY requirements.txt requirements-serve.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt --requirement requirements-serve.txt

COPY . .
USER 1000

EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["python"]
CMD ["-m", "src.serve", "--bundle", "/bundle", "--host", "0.0.0.0", "--port", "8000"]
