//! The word `ip6=` of the command line.

use core::net::Ipv6Addr;

use crate::address::{ParseAddressError, parse_network};

/// Where the IPv6 addresses come from, besides that of the link, which every card has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address6 {
    /// From what routers advertise (RFC 4862).
    Auto,
    /// Given.
    Static {
        /// Our address.
        ip: Ipv6Addr,
        /// Bits of the network part.
        prefix: u8,
        /// The router to everything else.
        gateway: Option<Ipv6Addr>,
    },
}

/// Parses the value of `ip6=`: `auto`, or `fd00::15/64,gw=fd00::2`, of which the prefix and the router may be left out.
///
/// # Errors
/// Says which part could not be understood.
pub fn parse_ip6(text: &str) -> Result<Address6, ParseAddressError> {
    if text == "auto" {
        return Ok(Address6::Auto);
    }
    let (ip, prefix, gateway) = parse_network(text, 64, parse_address, parse_prefix)?;
    Ok(Address6::Static {
        ip,
        prefix,
        gateway,
    })
}

fn parse_address(text: &str) -> Result<Ipv6Addr, ParseAddressError> {
    let address: Ipv6Addr = text.parse().map_err(|_| ParseAddressError::BadAddress)?;
    let is_special = address.is_multicast() || address.is_unspecified() || address.is_loopback();
    let is_mapped = address.to_ipv4_mapped().is_some();
    if is_special || is_mapped {
        return Err(ParseAddressError::NotUnicast);
    }
    Ok(address)
}

fn parse_prefix(text: &str) -> Result<u8, ParseAddressError> {
    let prefix = text
        .parse()
        .ok()
        .filter(|prefix| (1..=128).contains(prefix));
    prefix.ok_or(ParseAddressError::BadPrefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Address6, ParseAddressError>) {
        assert_eq!(parse_ip6(text), expected, "{text}");
    }

    fn fixed(ip: &str, prefix: u8, gateway: Option<&str>) -> Result<Address6, ParseAddressError> {
        Ok(Address6::Static {
            ip: ip.parse().unwrap(),
            prefix,
            gateway: gateway.map(|text| text.parse().unwrap()),
        })
    }

    #[test]
    fn understands_what_it_documents() {
        check("auto", Ok(Address6::Auto));
        check("fd00::15", fixed("fd00::15", 64, None));
        let text = "2001:db8::1/48,gw=fe80::1";
        check(text, fixed("2001:db8::1", 48, Some("fe80::1")));
    }

    #[test]
    fn refuses_the_rest() {
        check("", Err(ParseAddressError::BadAddress));
        check("10.0.0.1", Err(ParseAddressError::BadAddress));
        check("fd00::1/129", Err(ParseAddressError::BadPrefix));
        check("fd00::1/0", Err(ParseAddressError::BadPrefix));
        check("fd00::1,mtu=9", Err(ParseAddressError::UnknownOption));
        check("ff02::1", Err(ParseAddressError::NotUnicast));
        check("fd00::1,gw=::", Err(ParseAddressError::NotUnicast));
        check("::ffff:10.0.0.1", Err(ParseAddressError::NotUnicast));
    }
}
