package payment

// For tests of what stands outside.
var CertificateNumber = certificateNumber
