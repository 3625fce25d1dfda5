package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"doorbell/internal/doorbell"
)

// skyToken is what jjwt 0.9.1 makes: a header without typ, and the secret's bytes.
func skyToken(secret, claims string) string {
	return signed(secret, `{"alg":"HS256"}`, claims)
}

func signed(secret, header, claims string) string {
	enc := base64.RawURLEncoding.EncodeToString
	head := enc([]byte(header)) + "." + enc([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(head))
	return head + "." + enc(mac.Sum(nil))
}

// TestSkyTokens: what their backend makes is good, with the short secrets that it is
// published with, and nothing else is.
func TestSkyTokens(t *testing.T) {
	s := NewSky("itcast", "itheima")
	later := time.Now().Add(2 * time.Hour).Unix()
	claims := func(format string) string { return fmt.Sprintf(format, later) }
	g, err := s.Admin(skyToken("itcast", claims(`{"exp":%d,"empId":1}`)))
	if err != nil || g.Role != doorbell.RoleConsole || !g.Shops.Has(1) || g.Shops.Has(2) || g.Expires.Unix() != later {
		t.Errorf("an employee's token: %+v, %v; want a console of shop 1", g, err)
	}
	g, err = s.Customer(skyToken("itheima", claims(`{"userId":77,"exp":%d}`)))
	if err != nil || g.Role != doorbell.RoleCustomer || g.Subject != "77" {
		t.Errorf("a customer's token: %+v, %v; want customer 77", g, err)
	}
	for _, c := range []struct {
		name, token string
		want        doorbell.Code
	}{
		{"another secret", skyToken("itcasT", claims(`{"exp":%d,"empId":1}`)), TokenUnknownKey},
		{"a customer's", skyToken("itheima", claims(`{"exp":%d,"userId":1}`)), TokenUnknownKey},
		{"over", skyToken("itcast", `{"exp":1700000000,"empId":1}`), TokenExpired},
		{"without an end", skyToken("itcast", `{"empId":1}`), TokenInvalid},
		{"without an employee", skyToken("itcast", claims(`{"exp":%d,"userId":1}`)), TokenInvalid},
		{"an employee by another name", skyToken("itcast", claims(`{"exp":%d,"EMPID":1}`)), TokenInvalid},
		{"a text for a number", skyToken("itcast", claims(`{"exp":%d,"empId":"1"}`)), TokenInvalid},
		{"no id", skyToken("itcast", claims(`{"exp":%d,"empId":0}`)), TokenInvalid},
		{"unsigned", signed("itcast", `{"alg":"none"}`, claims(`{"exp":%d,"empId":1}`)), TokenUnknownKey},
		{"another algorithm", signed("itcast", `{"alg":"HS512"}`, claims(`{"exp":%d,"empId":1}`)), TokenUnknownKey},
		{"an extension", signed("itcast", `{"alg":"HS256","crit":["x"]}`, claims(`{"exp":%d,"empId":1}`)), TokenInvalid},
		{"none", "", TokenInvalid},
	} {
		if g, err := s.Admin(c.token); doorbell.CodeOf(err) != c.want {
			t.Errorf("%s: %+v, %v; want %s", c.name, g, err, c.want)
		}
	}
	for name, s := range map[string]*Sky{"without secrets": NewSky("", ""), "without sky": nil} {
		if _, err := s.Admin(skyToken("", claims(`{"exp":%d,"empId":1}`))); doorbell.CodeOf(err) != TokenUnknownKey {
			t.Errorf("%s: an employee's token: %v", name, err)
		}
		if _, err := s.Customer(skyToken("", claims(`{"exp":%d,"userId":1}`))); doorbell.CodeOf(err) != TokenUnknownKey {
			t.Errorf("%s: a customer's token: %v", name, err)
		}
	}
}
