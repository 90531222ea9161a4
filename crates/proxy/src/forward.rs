//! Which fields of a request are believed, and what the next server is told of the client.

use std::io::Write;
use std::net::IpAddr;

use ipnet::IpNet;
use waypost_backend::Exchange;
use waypost_http1::{InvalidField, Name, NameSet, Target};

use crate::request_id::RequestId;

/// Rules for forwarding.
#[derive(Debug, Clone, Default)]
pub struct Forwarding {
    /// Clients in these networks are proxies of ours: what they say of their client is believed.
    pub trusted: Vec<IpNet>,
    /// Add the `Forwarded` field (RFC 7239) as well.
    pub forwarded: bool,
    /// Add the `Via` field (RFC 9110 §7.6.3).
    pub via: bool,
}

/// What is written anew, whoever the client is.
const REPLACED: NameSet = NameSet::of(&[
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XForwardedProto,
    Name::Forwarded,
    Name::XRequestId,
    Name::Expect,
    Name::Lookalike,
]);
/// And what a client that is no proxy of ours may not say.
const DISTRUSTED: NameSet = REPLACED.with(Name::XForwardedOther).with(Name::XRealIp);

impl Forwarding {
    fn trusts(&self, client: IpAddr) -> bool {
        !self.trusted.is_empty()
            && self.trusted.iter().any(|network| network.contains(&client.to_canonical()))
    }

    /// Takes off what concerns only this connection or can't be believed, and adds what is known.
    ///
    /// The order matters: what the client names in `Connection` goes first, so that it can't take off
    /// what is added here.
    pub(crate) fn apply(&self, exchange: &mut Exchange, id: &RequestId) -> Result<(), InvalidField> {
        let downstream = exchange.downstream;
        let client = downstream.client.ip().to_canonical();
        let trusted = self.trusts(client);
        let fields = &mut exchange.request.fields;

        let upgrade = exchange.wants_upgrade.then(|| fields.get(Name::Upgrade).map(<[u8]>::to_vec)).flatten();
        let takes_trailers = fields.get_all(Name::Te).any(takes_trailers);
        fields.remove_hop_by_hop();
        if let Some(protocol) = upgrade {
            fields.push_known(Name::Upgrade, &protocol)?;
        }
        if takes_trailers && !exchange.wants_upgrade {
            fields.push_known(Name::Te, b"trailers")?;
        }

        let said = |fields: &waypost_http1::Fields, name| {
            if trusted { fields.get(name).map(<[u8]>::to_vec) } else { None }
        };
        let said_host = said(fields, Name::XForwardedHost);
        let said_port = said(fields, Name::XForwardedPort);
        let said_proto = said(fields, Name::XForwardedProto);
        let said_id = said(fields, Name::XRequestId);
        let via: Vec<u8> = if self.via {
            fields.get_all(Name::Via).collect::<Vec<_>>().join(&b", "[..])
        } else {
            Vec::new()
        };
        let mut said_for = Vec::new();
        let mut said_forwarded = Vec::new();
        if trusted {
            said_for = fields.get_all(Name::XForwardedFor).collect::<Vec<_>>().join(&b", "[..]);
            said_forwarded = fields.get_all(Name::Forwarded).collect::<Vec<_>>().join(&b", "[..]);
        }
        let host = match exchange.request.form() {
            Target::Absolute => exchange.request.authority().map(<[u8]>::to_vec).ok(),
            Target::Origin | Target::Asterisk => None,
        };
        let fields = &mut exchange.request.fields;
        fields.remove_all(if trusted { REPLACED } else { DISTRUSTED });
        if self.via {
            fields.remove(Name::Via);
        }
        // RFC 9112 §3.2.2: the target's authority takes the place of what Host said.
        if let Some(host) = host {
            fields.remove(Name::Host);
            fields.push_known(Name::Host, &host)?;
        }

        fields.push_known_with(Name::XForwardedFor, |out| {
            if !said_for.is_empty() {
                out.extend_from_slice(&said_for);
                out.extend_from_slice(b", ");
            }
            write_address(out, client);
        })?;
        match said_host {
            Some(said) => fields.push_known(Name::XForwardedHost, &said)?,
            None => fields.push_copy(Name::XForwardedHost, Name::Host)?,
        }
        match said_port {
            Some(said) => fields.push_known(Name::XForwardedPort, &said)?,
            None => {
                let port = downstream.local.port();
                fields.push_known_with(Name::XForwardedPort, |out| {
                    out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
                })?;
            }
        }
        let proto = said_proto.as_deref().unwrap_or(downstream.scheme.as_str().as_bytes());
        fields.push_known(Name::XForwardedProto, proto)?;
        fields.push_known(Name::XRequestId, said_id.as_deref().unwrap_or(id))?;
        if self.forwarded {
            let host = exchange.host;
            fields.push_known_with(Name::Forwarded, |out| {
                if !said_forwarded.is_empty() {
                    out.extend_from_slice(&said_forwarded);
                    out.extend_from_slice(b", ");
                }
                let quote = if client.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
                // Writing to memory does not fail.
                let _ = write!(
                    out,
                    "for={}{client}{};host=\"{host}\";proto={}",
                    quote.0,
                    quote.1,
                    downstream.scheme.as_str()
                );
            })?;
        }
        if self.via {
            fields.push_known_with(Name::Via, |out| {
                if !via.is_empty() {
                    out.extend_from_slice(&via);
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(b"1.1 waypost");
            })?;
        }
        Ok(())
    }
}

/// Whether a `TE` field says that trailers are understood (RFC 9110 §10.1.4).
fn takes_trailers(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut buffer = itoa::Buffer::new();
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(buffer.format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory does not fail.
            let _ = write!(out, "{address}");
        }
    }
}
