"""The emulated AWS of forge's tests: moto, with what it lacks or answers wrongly replaced by what AWS documents."""
