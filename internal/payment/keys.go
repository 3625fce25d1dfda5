package payment

import (
	"crypto/md5" //nolint:gosec // Alipay's rule for naming a certificate; no security depends on it
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxKeyFile bounds a key's file: a chain of certificates is some 10 KiB.
const maxKeyFile = 256 << 10

// readKey returns a key file's content as DER. The file is PEM, or bare base64 as
// Alipay's key tool writes it.
func readKey(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(text); block != nil {
		return block.Bytes, nil
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(der) == 0 {
		return nil, fmt.Errorf("%s: neither PEM nor base64", file)
	}
	return der, nil
}

// kindOf says what kind of key or certificate a file holds, for the error about a
// wrong file. The text holds no content of the file.
func kindOf(der []byte) string {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return "a private key"
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return "a private key"
	}
	if _, err := x509.ParseECPrivateKey(der); err == nil {
		return "a private key"
	}
	if _, err := x509.ParsePKIXPublicKey(der); err == nil {
		return "a public key"
	}
	if _, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return "a public key (PKCS #1)"
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return "a certificate"
	}
	return "neither a key nor a certificate"
}

// LoadCertificates reads X.509 certificates.
func LoadCertificates(files []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, file := range files {
		der, err := readKey(file)
		if err != nil {
			return nil, err
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s is %s; want a certificate", file, kindOf(der))
		}
		out = append(out, c)
	}
	return out, nil
}

// LoadPublicKey reads an RSA public key.
func LoadPublicKey(file string) (*rsa.PublicKey, error) {
	der, err := readKey(file)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s is %s; want the provider's public key", file, kindOf(der))
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%s is not an RSA key", file)
	}
	return key, nil
}

// LoadPrivateKey reads an RSA private key, PKCS #8 or PKCS #1. Its errors hold no
// part of the key.
func LoadPrivateKey(file string) (*rsa.PrivateKey, error) {
	der, err := readKey(file)
	if err != nil {
		return nil, err
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s is %s; want your own private key, PKCS #8 or PKCS #1", file, kindOf(der))
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New(file + " is not an RSA key")
	}
	return key, nil
}

// CertificateNumber returns Alipay's name for a certificate (alipay_cert_sn): the
// MD5 of its issuer and serial number.
func CertificateNumber(c *x509.Certificate) string {
	sum := md5.Sum([]byte(c.Issuer.String() + c.SerialNumber.String())) //nolint:gosec // a name
	return hex.EncodeToString(sum[:])
}
