module sdk

go 1.24

require github.com/grafana/pyroscope-go v1.4.3
