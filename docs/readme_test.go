// Package docs_test holds the documents and the Makefile to what they say.
package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"doorbell/internal/config"
	"doorbell/internal/testrun"
)

// TestMain goes to the repository's top folder, where the documents begin.
func TestMain(m *testing.M) {
	if err := os.Chdir(".."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeNamesTheGoVersion of go.mod, in both languages.
func TestReadmeNamesTheGoVersion(t *testing.T) {
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))
	if m == nil {
		t.Fatal("go.mod names no version")
	}
	for file, phrase := range map[string]string{"README.md": "Needs Go " + m[1] + " or later", "README.zh-CN.md": "只需要 Go " + m[1] + " 或更高版本"} {
		if !strings.Contains(readFile(t, file), phrase) {
			t.Errorf("%s does not say %q, which go.mod asks for", file, phrase)
		}
	}
}

// TestReadmeNamesEveryKey of config.yaml by its section, in both languages.
func TestReadmeNamesEveryKey(t *testing.T) {
	sections := regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(readFile(t, "config.yaml"), -1)
	if len(sections) < 10 {
		t.Fatalf("config.yaml has %d sections?", len(sections))
	}
	for _, file := range []string{"README.md", "README.zh-CN.md"} {
		text := readFile(t, file)
		for _, s := range sections {
			if !strings.Contains(text, "`"+s[1]+".") && !strings.Contains(text, "`"+s[1]+"`") {
				t.Errorf("%s has no setting of the section %s", file, s[1])
			}
		}
	}
}

// TestReadmesAgree on every block of code that is no prose, and in their shape:
// neither language has a section, a table's row or a block that the other lacks.
func TestReadmesAgree(t *testing.T) {
	blocks := func(file, kind string) []string {
		return regexp.MustCompile("(?s)```"+kind+"\n.*?```").FindAllString(readFile(t, file), -1)
	}
	for _, kind := range []string{"nginx", "vue", "go", "ini", "toml"} {
		en, zh := blocks("README.md", kind), blocks("README.zh-CN.md", kind)
		if len(en) == 0 && kind != "toml" || strings.Join(en, "") != strings.Join(zh, "") {
			t.Errorf("the READMEs' %s blocks differ", kind)
		}
	}
	wantSameShape(t, "README.md", "README.zh-CN.md")
	for _, name := range translated {
		wantSameShape(t, "docs/"+name+".md", "docs/"+name+".zh-CN.md")
	}
}

// translated are the documents that have a Chinese file.
var translated = []string{"console", "payments", "architecture", "escalation", "sky-take-out", "deploy", "stability", "metrics", "limits", "install"}

// shape counts what a translation keeps: headings, rows of tables, items of
// lists and blocks of code, each by kind.
func shape(text string) map[string]int {
	out := map[string]int{}
	inCode := false
	for line := range strings.Lines(text) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasPrefix(line, "```"):
			if inCode = !inCode; inCode {
				out[strings.TrimSpace(line)]++
			}
		case inCode:
		case strings.HasPrefix(word, "#"):
			out[word]++
		case strings.HasPrefix(word, "|"):
			out["rows"]++
		case word == "-" || regexp.MustCompile(`^\d+\.$`).MatchString(word):
			out["items"]++
		case strings.HasPrefix(word, "**"):
			out["bold paragraphs"]++
		}
	}
	return out
}

func wantSameShape(t *testing.T, english, chinese string) {
	t.Helper()
	if diff := cmp.Diff(shape(readFile(t, english)), shape(readFile(t, chinese))); diff != "" {
		t.Errorf("%s and %s do not say the same (-English +Chinese):\n%s", english, chinese, diff)
	}
}

// clumsy are translations that no Chinese engineer uses, and what they are
// called instead.
var clumsy = map[string]string{
	"连接阶梯": "自动降级的连接", "重新获取画面": "重新加载当前状态", "自动结算": "自动入账", "扣留": "会缓冲响应的网关",
	"没人订阅": "没有控制台连接的门店", "纪元": "epoch（日志世代）", "没有读取": "未及时读取数据",
}

// TestWordsOfTheTrade: in both languages.
func TestWordsOfTheTrade(t *testing.T) {
	files, err := filepath.Glob("docs/*.zh-CN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "README.zh-CN.md") {
		for bad, good := range clumsy {
			if strings.Contains(readFile(t, file), bad) {
				t.Errorf("%s says %s; say %s", file, bad, good)
			}
		}
	}
	for _, file := range []string{"README.md", "docs/console.md", "docs/payments.md", "docs/architecture.md"} {
		for _, bad := range []string{"hurry", "Who may", "stops it well", "picture anew"} {
			if strings.Contains(readFile(t, file), bad) {
				t.Errorf("%s says %q", file, bad)
			}
		}
	}
}

// TestReadmeUnits: systemd takes both units as they stand.
func TestReadmeUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		testrun.Skip(t, "no systemd-analyze on this machine")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	units := regexp.MustCompile("(?s)```ini\n(# /etc/systemd/system/(\\S+)\n.*?)```").FindAllStringSubmatch(readFile(t, "README.md"), -1)
	if len(units) != 2 {
		t.Fatalf("the README has %d units, want the service and its socket", len(units))
	}
	dir := t.TempDir()
	var files []string
	for _, u := range units {
		file := filepath.Join(dir, u[2])
		text := strings.Replace(u[1], "/usr/local/bin/doorbell", self, 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	out, err := exec.CommandContext(t.Context(), analyze, append([]string{"verify", "--man=no", "--recursive-errors=no"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestReadmeSettingsBlocks: each block of settings in the README is one that
// doorbell takes, as far as its files are there.
func TestReadmeSettingsBlocks(t *testing.T) {
	for _, readme := range []string{"README.md", "README.zh-CN.md", "docs/sky-take-out.md", "docs/sky-take-out.zh-CN.md"} {
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, readme), -1)
		if len(blocks) < 3 && strings.HasPrefix(readme, "README") || len(blocks) == 0 {
			t.Fatalf("%s has %d blocks of settings", readme, len(blocks))
		}
		for _, b := range blocks {
			text := strings.NewReplacer("whsec_…", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
				"32 bytes from the merchant platform", "01234567890123456789012345678901", "商户平台上设置的 32 字节密钥", "01234567890123456789012345678901").Replace(b[1])
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(file, nil); err != nil {
				t.Errorf("%s:\n%s%v", readme, b[1], err)
			}
		}
	}
}
