# A static fleetcast in an empty image.
#
#   docker build --build-arg VERSION=v1.2.3 -t fleetcast .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath \
    -ldflags "-s -w -X github.com/fleetcast/fleetcast/internal/cli.version=${VERSION}" \
    -o /out/fleetcast ./cmd/fleetcast
# For temporary files, which an empty image has no place for; open to all, as usual.
RUN mkdir -m 1777 /out/tmp

FROM scratch
# For TLS to the database.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ /
# A number, since there is no /etc/passwd; the name is what events show as their publisher.
USER 65532:65532
ENV HOME=/tmp USER=fleetcast
ENTRYPOINT ["/fleetcast"]
CMD ["--help"]
