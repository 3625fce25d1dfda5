package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Channel is a way to somebody: a chat's bot, a phone, a mailbox.
type Channel struct {
	Name string `yaml:"name"`
	URL  Secret `yaml:"url"` // holds the bot's key
}

// Rung tells somebody of an alert that has rung for so long.
type Rung struct {
	After  time.Duration `yaml:"after"`
	To     []string      `yaml:"to"`
	Repeat time.Duration `yaml:"repeat"` // 0: once
}

const (
	// pushTo stands for the devices that take a shop's pushes.
	pushTo = "push"
	// defaultLadder is that of the shops that have none of their own.
	defaultLadder = "default"
	maxRungs      = 20
	maxAfter      = 24 * time.Hour
	minRepeat     = 10 * time.Second
)

// checkEscalation holds channels and ladders.
func (c Config) checkEscalation(bad report) {
	known := map[string]string{pushTo: "push"}
	for i, h := range c.Webhooks {
		known[h.Name] = fmt.Sprintf("webhooks[%d]", i)
	}
	for i, ch := range c.Channels {
		key := fmt.Sprintf("channels[%d]", i)
		if !hookName.MatchString(ch.Name) {
			bad(key+".name", "%q is not 1 to 32 of a-z 0-9 _ -", ch.Name)
		}
		if where := known[ch.Name]; where != "" {
			bad(key+".name", "%q is the name of %s too", ch.Name, where)
		}
		known[ch.Name] = key
		if ch.URL == "" {
			bad(key+".url", "is missing")
		}
	}
	for _, shop := range slices.Sorted(maps.Keys(c.Escalation)) {
		key := "escalation." + shop
		if id, err := strconv.ParseInt(shop, 10, 64); shop != defaultLadder && (err != nil || id < 1 || strconv.FormatInt(id, 10) != shop) {
			bad(key, "want a shop's id, or %s", defaultLadder)
		}
		if n := len(c.Escalation[shop]); n > maxRungs {
			bad(key, "has %d rungs, at most %d are taken", n, maxRungs)
		}
		for i, r := range c.Escalation[shop] {
			r.check(bad, fmt.Sprintf("%s[%d]", key, i), known)
		}
	}
}

func (r Rung) check(bad report, key string, known map[string]string) {
	if r.After < 0 || r.After > maxAfter {
		bad(key+".after", "%v is not between 0s and %v", r.After, maxAfter)
	}
	if r.Repeat != 0 && (r.Repeat < minRepeat || r.Repeat > maxAfter) {
		bad(key+".repeat", "%v is neither 0s (once) nor between %v and %v", r.Repeat, minRepeat, maxAfter)
	}
	if len(r.To) == 0 {
		bad(key+".to", "is missing: want %s, or the name of a channel or a webhook", pushTo)
	}
	for _, to := range r.To {
		switch {
		case known[to] != "":
		case strings.Contains(to, "://"):
			bad(key+".to", "takes names: an address holds a key, put it into channels under a name")
		default:
			bad(key+".to", "%q is neither %s nor the name of a channel or a webhook", to, pushTo)
		}
	}
}
