// Command pulumi-resource-kubernetes is the official Kubernetes provider.
//
// The provider's own main package embeds two files that its Makefile generates, so it does not build from the Go
// module. This one embeds what they are generated from: schema.json and terraform-mapping.json of the same module.
// They are not copied here; the toolchain maps them into this folder with `go build -overlay`.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	provider.Serve("kubernetes", version.Version, schema, terraformMapping)
}
