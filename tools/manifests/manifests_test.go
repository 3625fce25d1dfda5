// Package manifests holds deploy/'s files against the types of the programs that
// read them. It is a module of its own, so that the server depends on none of them.
package manifests

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func kinds() map[string]any {
	return map[string]any{
		"ConfigMap":           &core.ConfigMap{},
		"Deployment":          &apps.Deployment{},
		"Ingress":             &networking.Ingress{},
		"PodDisruptionBudget": &policy.PodDisruptionBudget{},
		"Secret":              &core.Secret{},
		"Service":             &core.Service{},
	}
}

// TestKubernetes decodes each part strictly: a field that its kind does not have,
// or of another type, fails.
func TestKubernetes(t *testing.T) {
	file, err := os.ReadFile("../../deploy/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := kinds()
	for _, part := range bytes.Split(file, []byte("\n---\n")) {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal(part, &kind); err != nil {
			t.Fatal(err)
		}
		into, ok := found[kind.Kind]
		if !ok {
			t.Errorf("kind %q twice, or not known to this test", kind.Kind)
			continue
		}
		delete(found, kind.Kind)
		if err := yaml.UnmarshalStrict(part, into); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		if d, ok := into.(*apps.Deployment); ok {
			checkDeployment(t, d)
		}
	}
	if len(found) > 0 {
		t.Errorf("no %v", slices.Sorted(maps.Keys(found)))
	}
}

// checkDeployment holds it to what the server needs: its own stop takes up to 30 s,
// after the service's moment.
func checkDeployment(t *testing.T, d *apps.Deployment) {
	t.Helper()
	pod := d.Spec.Template
	if !maps.Equal(d.Spec.Selector.MatchLabels, pod.Labels) {
		t.Errorf("selector %v, labels %v", d.Spec.Selector.MatchLabels, pod.Labels)
	}
	c := pod.Spec.Containers[0]
	if grace := *pod.Spec.TerminationGracePeriodSeconds; grace < 30+c.Lifecycle.PreStop.Sleep.Seconds {
		t.Errorf("killed %d s after it was asked to stop", grace)
	}
	ports := map[string]bool{}
	for _, p := range c.Ports {
		ports[p.Name] = true
	}
	for _, probe := range []*core.Probe{c.ReadinessProbe, c.LivenessProbe} {
		if !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("a probe asks port %q", probe.HTTPGet.Port.StrVal)
		}
	}
}

// TestCompose loads the file by the schema and the rules of compose itself.
func TestCompose(t *testing.T) {
	file, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "../../deploy",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: file}},
		Environment: types.Mapping{"POSTGRES_PASSWORD": "p", "NATS_TOKEN": "n", "DOORBELL_AUTH_SECRET": "s"},
	}, func(o *loader.Options) { o.SetProjectName("doorbell", true) })
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node1", "node2"} {
		node, err := project.GetService(name)
		if err != nil {
			t.Fatal(err)
		}
		if node.StopGracePeriod == nil || *node.StopGracePeriod < types.Duration(30e9) {
			t.Errorf("%s is killed after %v", name, node.StopGracePeriod)
		}
	}
}
