FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath \
    -ldflags "-s -w -X github.com/fleetcast/fleetcast/internal/cli.version=${VERSION}" \
    -o /fleetcast ./cmd/fleetcast

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /fleetcast /fleetcast
USER 65532:65532
ENTRYPOINT ["/fleetcast"]
CMD ["--help"]
