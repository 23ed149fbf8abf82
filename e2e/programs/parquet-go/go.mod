module reader

go 1.24

require github.com/parquet-go/parquet-go v0.30.1
