module sdk

go 1.24

require (
	go.opentelemetry.io/proto/otlp/collector/profiles/v1development v0.3.0
	google.golang.org/grpc v1.85.0
)
