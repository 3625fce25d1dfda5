package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5" //nolint:gosec // dpkg's list of files is of MD5; it guards against broken disks alone
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stateSetting is the one line of config.yaml that the package changes: each
// command finds the database from any folder.
const defaultDatabase, packageDatabase = "url: sqlite://data/doorbell.db\n", "url: sqlite:///var/lib/doorbell/doorbell.db\n"

const control = `Package: doorbell
Version: %s
Architecture: %s
Maintainer: %s
Installed-Size: %d
Depends: adduser, init-system-helpers (>= 1.54~)
Recommends: ca-certificates, tzdata
Section: net
Priority: optional
Description: rings a restaurant's kitchen when an order is paid
 doorbell receives payment callbacks and customers' reminders, stores each as
 an alert that cannot be lost, and pushes it to the browsers of the shop, which
 show it, chime and speak until somebody accepts.
 .
 The package brings a service of its own user, whose listening socket systemd
 keeps open while the server restarts.
`

const changelog = `doorbell (%s) unstable; urgency=medium

  * Commit
    %s.
  * What each release changed is in CHANGELOG.md.gz beside this file.

 -- %s  %s
`

// packaged is a file of the package.
type packaged struct {
	name    string // from the root
	content []byte
	mode    fs.FileMode
}

// debian makes doorbell_VERSION_ARCH.deb of the program that is in the folder already.
func (r release) debian(ctx context.Context, arch, maintainer string) (err error) {
	files, err := r.packaged(arch, maintainer)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "doorbell-deb-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := os.Chmod(folder, 0o755); err != nil { //nolint:gosec // it becomes /
		return err
	}
	size, sums := 0, ""
	for _, f := range files {
		if err := f.put(folder); err != nil {
			return err
		}
		size += (len(f.content) + 1023) / 1024
		if !strings.HasPrefix(f.name, "etc/") { // conffiles have sums of their own
			sums += fmt.Sprintf("%x  %s\n", md5.Sum(f.content), f.name) //nolint:gosec // as above
		}
	}
	about := fmt.Sprintf(control, r.debianVersion(), arch, maintainer, size)
	meta := []packaged{
		{"DEBIAN/control", []byte(about), 0o644},
		{"DEBIAN/md5sums", []byte(sums), 0o644},
		{"DEBIAN/conffiles", []byte("/etc/doorbell/config.yaml\n"), 0o644},
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		text, err := os.ReadFile(filepath.Join(r.root, "deploy/debian", script))
		if err != nil {
			return err
		}
		meta = append(meta, packaged{"DEBIAN/" + script, text, 0o755})
	}
	for _, f := range meta {
		if err := f.put(folder); err != nil {
			return err
		}
	}
	deb := filepath.Join(r.out, "doorbell_"+r.debianVersion()+"_"+arch+".deb")
	_, err = r.output(ctx, r.root, []string{fmt.Sprint("SOURCE_DATE_EPOCH=", r.made.Unix())},
		"dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--threads-max=1", "--build", folder, deb)
	return err
}

// packaged returns the files of the package.
func (r release) packaged(arch, maintainer string) (files []packaged, err error) {
	const docs = "usr/share/doc/doorbell/"
	var faults []error
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(r.root, name))
		faults = append(faults, err)
		return text
	}
	settings := read("config.yaml")
	if bytes.Count(settings, []byte(defaultDatabase)) != 1 {
		faults = append(faults, fmt.Errorf("config.yaml has not one line %q", defaultDatabase))
	}
	program, err := os.ReadFile(r.program("linux/" + arch))
	faults = append(faults, err)
	terms, err := os.ReadFile(filepath.Join(r.out, licencesName))
	faults = append(faults, err)
	history := fmt.Sprintf(changelog, r.debianVersion(), r.commit, maintainer, r.made.Format(time.RFC1123Z))
	files = []packaged{
		{"etc/doorbell/config.yaml", bytes.Replace(settings, []byte(defaultDatabase), []byte(packageDatabase), 1), 0o640},
		{"usr/bin/doorbell", program, 0o755},
		{"usr/lib/systemd/system/doorbell.service", read("deploy/debian/doorbell.service"), 0o644},
		{"usr/lib/systemd/system/doorbell.socket", read("deploy/debian/doorbell.socket"), 0o644},
		{docs + "copyright", read("deploy/debian/copyright"), 0o644},
		{docs + "README.Debian", read("deploy/debian/README.Debian"), 0o644},
		{docs + "changelog.gz", packed([]byte(history)), 0o644},
		{docs + "CHANGELOG.md.gz", packed(read("CHANGELOG.md")), 0o644},
		{docs + licencesName + ".gz", packed(terms), 0o644},
		{"usr/share/man/man1/doorbell.1.gz", packed(read("deploy/debian/doorbell.1")), 0o644},
		{"usr/share/lintian/overrides/doorbell", read("deploy/debian/lintian-overrides"), 0o644},
	}
	return files, errors.Join(faults...)
}

// put writes the file below a folder, with its folders, whatever the umask is.
func (f packaged) put(root string) error {
	name := filepath.Join(root, f.name)
	for dir := filepath.Dir(name); len(dir) > len(root); dir = filepath.Dir(dir) {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil { //nolint:gosec // as in every package
			return err
		}
	}
	return errors.Join(os.WriteFile(name, f.content, 0o600), os.Chmod(name, f.mode))
}

// packed is gzip -9n: without a name and a time.
func packed(text []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(text)
		err = errors.Join(err, w.Close())
	}
	if err != nil { // of memory, it never fails
		panic(err)
	}
	return b.Bytes()
}
