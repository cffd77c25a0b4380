// Command network-policies enforces NetworkPolicies in the local cluster: the firewall of kube-router, and
// nothing else of it.
//
// All nodes of the local cluster share one network namespace, so one process serves them all: every pod
// counts as one of the node that it is started for.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/cloudnativelabs/kube-router/v2/pkg/svcip"
	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "who it is to the API server")
	node := flag.String("node", "", "the name of the first node, which is there already")
	address := flag.String("address", "", "the address of that node")
	services := flag.String("services", "", "where Services live")
	klog.InitFlags(nil)
	flag.Parse()
	if err := run(*kubeconfig, *node, *address, *services); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, node, address, services string) error {
	rest, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return err
	}
	stop := make(chan struct{})
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods().Informer()
	namespaces := factory.Core().V1().Namespaces().Informer()
	policies := factory.Networking().V1().NetworkPolicies().Informer()
	if err := pods.SetTransform(onNode(address)); err != nil {
		return err
	}

	config := options.NewKubeRouterConfig()
	config.EnableIPv4 = true
	config.HostnameOverride = node
	config.ClusterIPCIDRs = []string{services}
	// Changes are acted on at once; this is for what somebody else has done to the rules.
	config.IPTablesSyncPeriod = time.Minute
	ranges, err := svcip.NewValidator(svcip.Config{ClusterIPCIDRs: config.ClusterIPCIDRs, EnableIPv4: true})
	if err != nil {
		return err
	}
	iptables, ipsets, err := netpol.NewIPTablesHandlers(config)
	if err != nil {
		return err
	}
	firewall, err := netpol.NewNetworkPolicyController(
		client, config, pods, policies, namespaces, &sync.Mutex{}, nil, iptables, ipsets, ranges)
	if err != nil {
		return err
	}
	if _, err := pods.AddEventHandler(firewall.PodEventHandler); err != nil {
		return err
	}
	if _, err := namespaces.AddEventHandler(firewall.NamespaceEventHandler); err != nil {
		return err
	}
	if _, err := policies.AddEventHandler(firewall.NetworkPolicyEventHandler); err != nil {
		return err
	}
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	// It says that it lives at each round; nobody listens who would do something about it.
	beats := make(chan *healthcheck.ControllerHeartbeat, 1)
	go func() {
		for range beats {
		}
	}()
	var running sync.WaitGroup
	running.Add(1)
	go firewall.Run(beats, stop, &running)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	<-asked
	close(stop)
	running.Wait()
	return nil
}

// onNode makes every pod one of the node with this address.
func onNode(address string) func(any) (any, error) {
	return func(object any) (any, error) {
		if pod, is := object.(*v1.Pod); is && pod.Status.HostIP != "" {
			pod.Status.HostIP = address
		}
		return object, nil
	}
}
