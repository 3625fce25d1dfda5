package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// The shapes are CycloneDX 1.6's, as far as they are used.
type (
	billOf struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Time      string    `json:"timestamp"`
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		URL        string     `json:"purl"`
		Hashes     []hashOf   `json:"hashes,omitempty"`
		Licences   []licence  `json:"licenses,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hashOf struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		Licence struct {
			ID   string `json:"id,omitempty"`
			Name string `json:"name,omitempty"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn,omitempty"`
	}
)

// bill writes the bill of materials beside a program. Its number comes from the
// program's hash, its time is the commit's: the same program has the same bill.
func (r release) bill(file, target string, ms modules) error {
	sum, err := hash(file)
	if err != nil {
		return err
	}
	system, arch, _ := strings.Cut(target, "/")
	self := component{
		Type: "application", Ref: "doorbell", Name: "doorbell", Version: r.version,
		URL:        fmt.Sprintf("pkg:generic/doorbell@%s?arch=%s&os=%s", r.version, arch, system),
		Hashes:     []hashOf{{"SHA-256", hex.EncodeToString(sum[:])}},
		Properties: []property{{"doorbell:commit", r.commit}, {"doorbell:target", target}},
	}
	b := billOf{
		Format: "CycloneDX", Spec: "1.6", Serial: serial(sum), Version: 1,
		Metadata: metadata{r.made.Format(time.RFC3339), self}, Dependencies: []dependency{{Ref: self.Ref}},
	}
	for _, m := range ms.sorted() {
		c := component{Type: "library", Name: m.path, Version: m.version, URL: "pkg:golang/" + m.path + "@" + m.version}
		c.Ref = c.URL
		if c.Licences, err = m.named(); err != nil {
			return err
		}
		if m.sum != "" {
			c.Properties = []property{{"go:sum", m.sum}}
		}
		b.Components = append(b.Components, c)
		b.Dependencies[0].On = append(b.Dependencies[0].On, c.Ref)
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(file, ".exe")+".cdx.json", append(text, '\n'), 0o644) //nolint:gosec // for everybody
}

// serial makes a number in the form of a UUID (version 8: of the maker's own).
func serial(sum [32]byte) string {
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return fmt.Sprintf("urn:uuid:%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

// named returns a module's licences by their SPDX names; terms without one are
// named by their file.
func (m module) named() (out []licence, err error) {
	files, err := m.terms()
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var l licence
		if l.Licence.ID = spdx(string(text)); l.Licence.ID == "" {
			l.Licence.Name = strings.TrimPrefix(strings.TrimPrefix(file, m.folders[0]), string(os.PathSeparator)) + " in " + licencesName
		}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out, nil
}
