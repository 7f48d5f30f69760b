// Command coredns is CoreDNS with the plugins of the nodes' configuration only.
//
// Its official program contains more than fifty, with the clients of three cloud providers.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
)

func main() {
	// In the order of the official program, which is the order of the plugins in a query.
	dnsserver.Directives = []string{"bind", "health", "errors", "loadbalance", "cache", "kubernetes"}
	coremain.Run()
}
