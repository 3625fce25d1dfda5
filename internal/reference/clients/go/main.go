// Command go creates an order, and prints a shop's alerts: each once and in order,
// through every cut. DOORBELL is the server's address, SERVICE and CONSOLE are
// tokens, NUMBER is the order's. The standard library is enough.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := os.Getenv("DOORBELL")
	if err := order(ctx, server, os.Getenv("SERVICE"), os.Getenv("NUMBER")); err != nil {
		log.Print(err)
	}
	for cursor := "0"; ctx.Err() == nil; { // 0: from the oldest; keep it where it survives a restart
		after, err := follow(ctx, server, os.Getenv("CONSOLE"), cursor)
		cursor = after
		log.Print("connect again: ", err)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// order creates an order. It may be repeated: the same order again is answered 200.
func order(ctx context.Context, server, token, number string) error {
	body := fmt.Sprintf(`{"number":%q,"shopId":1,"amount":1250}`, number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/api/v1/orders", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read
	if res.StatusCode >= 300 {
		return fmt.Errorf("create the order: %s", res.Status)
	}
	return nil
}

// follow prints alerts until the connection ends, and returns the cursor to go on
// from. A server pings every 15 s: one that is silent for 40 s is gone.
func follow(ctx context.Context, server, token, cursor string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/events?shops=1&after="+cursor, nil)
	if err != nil {
		return cursor, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	silent := time.AfterFunc(40*time.Second, cancel)
	defer silent.Stop()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return cursor, err
	}
	defer res.Body.Close() //nolint:errcheck // read
	if res.StatusCode != http.StatusOK {
		return cursor, errors.New(res.Status)
	}
	var id, event, data string
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		silent.Reset(40 * time.Second)
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event": // of all but alerts
			event = value
		case "data":
			data = value
		case "": // the event is whole; what was cut off before this counts for nothing
			if data != "" && event == "" {
				fmt.Println(data)
			}
			if id != "" {
				cursor = id
			}
			id, event, data = "", "", ""
		}
	}
	return cursor, errors.New("the stream ended")
}
