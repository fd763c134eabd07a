//! When certificates end.

use rustls::pki_types::CertificateDer;

/// The earliest end of these certificates, in seconds since the Unix epoch. `None` if there is none, or if one of them cannot be read,
/// which could be the earliest.
pub(super) fn earliest_end(certificates: &[CertificateDer<'_>]) -> Option<i64> {
    let ends = certificates.iter().map(|certificate| end(certificate));
    let ends: Option<Vec<i64>> = ends.collect();
    ends?.into_iter().min()
}

/// The end of a certificate's validity (`notAfter`).
fn end(der: &[u8]) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn ending(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    /// Years before 2050 and from then on are encoded in two ways.
    #[test]
    fn an_end_is_read_in_either_encoding() {
        assert_eq!(earliest_end(&[ending(2031)]), Some(1_924_992_000));
        assert_eq!(earliest_end(&[ending(2060)]), Some(2_840_140_800));
    }

    #[test]
    fn of_several_certificates_the_earliest_end_counts() {
        let all = [ending(2033), ending(2031), ending(2032)];
        assert_eq!(earliest_end(&all), Some(1_924_992_000));
    }

    #[test]
    fn nothing_is_told_of_what_cannot_be_read() {
        assert_eq!(earliest_end(&[]), None);
        let broken = CertificateDer::from(vec![0x30, 0x82]);
        assert_eq!(earliest_end(&[ending(2031), broken]), None);
    }
}
