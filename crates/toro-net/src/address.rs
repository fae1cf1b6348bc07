//! The address of the machine, as the kernel command line gives it.

use core::fmt;
use core::net::Ipv4Addr;

/// Where the IP address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Asked from a DHCP server.
    Dhcp,
    /// Given.
    Static {
        /// Our address.
        ip: Ipv4Addr,
        /// Bits of the network part.
        prefix: u8,
        /// The router to everything else.
        gateway: Option<Ipv4Addr>,
    },
}

/// The address could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseAddressError {
    /// Not four numbers of 0 to 255 with dots between.
    BadAddress,
    /// A prefix above 32, or a mask with holes.
    BadPrefix,
    /// A word after the address that is not known.
    UnknownOption,
    /// An address that no single machine can have.
    NotUnicast,
}

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadAddress => "not an IPv4 address",
            Self::BadPrefix => "not a network prefix or mask",
            Self::UnknownOption => "unknown option after the address",
            Self::NotUnicast => "not an address of one machine",
        })
    }
}

impl core::error::Error for ParseAddressError {}

/// Parses the value of `ip=`: `dhcp`, `10.0.2.15/24,gw=10.0.2.2`, or Linux' form with colons,
/// `ADDR:SERVER:GW:MASK:HOST:DEVICE:AUTOCONF`, of which address, gateway and mask are used.
///
/// # Errors
/// Says which part could not be understood.
pub fn parse_ip(text: &str) -> Result<Address, ParseAddressError> {
    if matches!(text, "dhcp" | "on" | "any") {
        return Ok(Address::Dhcp);
    }
    if text.contains(':') {
        return parse_colons(text);
    }
    let (ip, prefix, gateway) = parse_network(text, 24, parse_address, parse_prefix)?;
    checked(ip, prefix, gateway)
}

/// Parses `ADDRESS/PREFIX,gw=ADDRESS`, of which the prefix and the router may be left out, for either family of addresses.
#[inline]
pub(crate) fn parse_network<A>(
    text: &str,
    usual_prefix: u8,
    parse_address: impl Fn(&str) -> Result<A, ParseAddressError>,
    parse_prefix: impl Fn(&str) -> Result<u8, ParseAddressError>,
) -> Result<(A, u8, Option<A>), ParseAddressError> {
    let mut words = text.split(',');
    let network = words.next().unwrap_or_default();
    let (ip, prefix) = match network.split_once('/') {
        Some((ip, prefix)) => (parse_address(ip)?, parse_prefix(prefix)?),
        None => (parse_address(network)?, usual_prefix),
    };
    let mut gateway = None;
    for word in words {
        let value = word
            .strip_prefix("gw=")
            .ok_or(ParseAddressError::UnknownOption)?;
        gateway = Some(parse_address(value)?);
    }
    Ok((ip, prefix, gateway))
}

fn parse_colons(text: &str) -> Result<Address, ParseAddressError> {
    let mut fields = [""; 7];
    for (field, value) in fields.iter_mut().zip(text.split(':')) {
        *field = value;
    }
    let [ip, _server, gateway, mask, _host, _device, autoconf] = fields;
    if ip.is_empty() && matches!(autoconf, "dhcp" | "on" | "any") {
        return Ok(Address::Dhcp);
    }
    let gateway = if gateway.is_empty() {
        None
    } else {
        Some(parse_address(gateway)?)
    };
    let prefix = if mask.is_empty() {
        24
    } else {
        prefix_of_mask(parse_address(mask)?)?
    };
    checked(parse_address(ip)?, prefix, gateway)
}

fn checked(
    ip: Ipv4Addr,
    prefix: u8,
    gateway: Option<Ipv4Addr>,
) -> Result<Address, ParseAddressError> {
    let all = [Some(ip), gateway];
    if all.into_iter().flatten().all(is_unicast) {
        Ok(Address::Static {
            ip,
            prefix,
            gateway,
        })
    } else {
        Err(ParseAddressError::NotUnicast)
    }
}

fn parse_address(text: &str) -> Result<Ipv4Addr, ParseAddressError> {
    text.parse().map_err(|_| ParseAddressError::BadAddress)
}

fn parse_prefix(text: &str) -> Result<u8, ParseAddressError> {
    let prefix: u8 = text.parse().map_err(|_| ParseAddressError::BadPrefix)?;
    if prefix <= 32 {
        Ok(prefix)
    } else {
        Err(ParseAddressError::BadPrefix)
    }
}

fn prefix_of_mask(mask: Ipv4Addr) -> Result<u8, ParseAddressError> {
    let ones = mask.to_bits().leading_ones();
    if mask.to_bits().count_ones() != ones {
        return Err(ParseAddressError::BadPrefix);
    }
    u8::try_from(ones).map_err(|_| ParseAddressError::BadPrefix)
}

/// Whether one machine can have `address`.
pub(crate) fn is_unicast(address: Ipv4Addr) -> bool {
    !address.is_multicast() && !address.is_broadcast() && !address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Address, ParseAddressError>) {
        assert_eq!(parse_ip(text), expected, "{text}");
    }

    fn fixed(
        ip: [u8; 4],
        prefix: u8,
        gateway: Option<[u8; 4]>,
    ) -> Result<Address, ParseAddressError> {
        Ok(Address::Static {
            ip: ip.into(),
            prefix,
            gateway: gateway.map(Ipv4Addr::from),
        })
    }

    #[test]
    fn understands_each_form() {
        check("dhcp", Ok(Address::Dhcp));
        check("10.0.2.15/16", fixed([10, 0, 2, 15], 16, None));
        check(
            "10.0.2.15/24,gw=10.0.2.2",
            fixed([10, 0, 2, 15], 24, Some([10, 0, 2, 2])),
        );
        check("10.0.2.15", fixed([10, 0, 2, 15], 24, None));
    }

    #[test]
    fn understands_the_form_of_linux() {
        let linux = "172.16.0.2::172.16.0.1:255.255.255.252:host:eth0:off";
        check(linux, fixed([172, 16, 0, 2], 30, Some([172, 16, 0, 1])));
        check("172.16.0.2:::255.255.0.0", fixed([172, 16, 0, 2], 16, None));
        check(":::::eth0:dhcp", Ok(Address::Dhcp));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        check("", Err(ParseAddressError::BadAddress));
        check("10.0.2", Err(ParseAddressError::BadAddress));
        check("10.0.2.15/33", Err(ParseAddressError::BadPrefix));
        check(
            "10.0.2.15/24,mtu=9000",
            Err(ParseAddressError::UnknownOption),
        );
        check(
            "10.0.2.15::10.0.2.2:255.0.255.0::eth0:off",
            Err(ParseAddressError::BadPrefix),
        );
        check("255.255.255.255/24", Err(ParseAddressError::NotUnicast));
        check(
            "10.0.2.15/24,gw=224.0.0.1",
            Err(ParseAddressError::NotUnicast),
        );
    }
}
