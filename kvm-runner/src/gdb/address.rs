//! Where a debugger connects to.

use std::path::PathBuf;
use std::str::FromStr;

/// Where a debugger connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A port of the loopback address; 0 is any that is free.
    Tcp(u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "give tcp:PORT or unix:PATH: tcp:1234".to_owned();
        match text.split_once(':') {
            Some(("tcp", port)) => {
                // A host name has no place here: whoever may debug the guest
                // may read all of it.
                let port = port.strip_prefix("127.0.0.1:").unwrap_or(port);
                port.parse().map(Self::Tcp).map_err(|_| usage())
            }
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => Err(usage()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!("tcp:1234".parse(), Ok(Address::Tcp(1234)));
        assert_eq!("tcp:127.0.0.1:1".parse(), Ok(Address::Tcp(1)));
        assert_eq!("unix:/run/gdb".parse(), Ok(Address::Unix("/run/gdb".into())));
        for odd in ["", "1234", "tcp:", "tcp:65536", "tcp:0.0.0.0:1", "unix:", "udp:1"] {
            assert!(odd.parse::<Address>().is_err(), "{odd}");
        }
    }
}
