package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	profiles "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func request(service string) *collector.ExportProfilesServiceRequest {
	return &collector.ExportProfilesServiceRequest{
		Dictionary: &profiles.ProfilesDictionary{
			StringTable: []string{"", "samples", "count", "cpu", "nanoseconds", "burnCpuInOtlp"},
			MappingTable: []*profiles.Mapping{{}}, FunctionTable: []*profiles.Function{{}, {NameStrindex: 5}}, LinkTable: []*profiles.Link{{}}, AttributeTable: []*profiles.KeyValueAndUnit{{}},
			LocationTable: []*profiles.Location{{}, {Lines: []*profiles.Line{{FunctionIndex: 1}}}}, StackTable: []*profiles.Stack{{}, {LocationIndices: []int32{1}}},
		},
		ResourceProfiles: []*profiles.ResourceProfiles{{
			Resource: &resource.Resource{Attributes: []*common.KeyValue{{Key: "service.name", Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: service}}}}},
			ScopeProfiles: []*profiles.ScopeProfiles{{Profiles: []*profiles.Profile{{
				SampleType: &profiles.ValueType{TypeStrindex: 1, UnitStrindex: 2}, PeriodType: &profiles.ValueType{TypeStrindex: 3, UnitStrindex: 4}, Period: 10000000,
				TimeUnixNano: uint64(time.Now().UnixNano()), DurationNano: 1e9, ProfileId: make([]byte, 16), Samples: []*profiles.Sample{{StackIndex: 1, Values: []int64{7}}},
			}}}},
		}},
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func post(url, kind string, body []byte) {
	r, err := http.Post(url+"/v1development/profiles", kind, bytes.NewReader(body))
	must(err)
	if r.StatusCode != 200 || r.Header.Get("content-type") != "application/x-protobuf" {
		panic(fmt.Sprint(kind, r.StatusCode, r.Header))
	}
}

func main() {
	url := os.Getenv("URL")
	c, err := grpc.NewClient(strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	_, err = collector.NewProfilesServiceClient(c).Export(context.Background(), request("otlp.grpc"))
	must(err)
	b, err := proto.Marshal(request("otlp.proto"))
	must(err)
	post(url, "application/x-protobuf", b)
	j, err := protojson.Marshal(request("otlp.json"))
	must(err)
	post(url, "application/json", j)
}
