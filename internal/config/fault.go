package config

// Fault is a fault of the settings, found before anything runs: another try
// with the same settings fails as well. The command exits with 2.
type Fault struct{ Err error }

// Error implements error.
func (f Fault) Error() string { return f.Err.Error() }

// Unwrap returns what is wrong.
func (f Fault) Unwrap() error { return f.Err }
