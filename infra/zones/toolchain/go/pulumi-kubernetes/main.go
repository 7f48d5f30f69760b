// Command pulumi-resource-kubernetes is the official Kubernetes provider of Pulumi, built from its Go module.
//
// The module's own main package embeds two generated files that the module does not contain. The files that they
// are generated from are in the module; the build maps them into this folder (see `embeds` in tools.py).
package main

import (
	"bytes"
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var terraformMapping []byte

func main() {
	versioned := bytes.Replace(schema, []byte("{"), []byte(`{"version":"`+version.Version+`",`), 1)
	provider.Serve("kubernetes", version.Version, versioned, terraformMapping)
}
