//! Why somebody is not let in: what the log says, and the little that the client is told.

/// Why a request is refused for who sends it, or for not saying who.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The time of a key of a program is over.
    ApiKeyExpired,
    /// Nobody has such a key.
    ApiKeyUnknown,
    /// The token is signed otherwise than is believed, or than its key is for.
    Algorithm,
    /// It is for somebody else.
    Audience,
    /// The time of the certificate that the client has shown is over.
    CertificateExpired,
    /// The client has shown no certificate.
    CertificateMissing,
    /// The certificate has no name of the kind that says who it is.
    CertificateNameless,
    /// A claim is missing, or is not of its kind.
    Claims,
    /// Its time is over.
    Expired,
    /// The service that says who may pass is asked about as many requests as it may be.
    ForwardBusy,
    /// The service says that they may not pass.
    ForwardForbidden,
    /// The service sends them elsewhere.
    ForwardRedirected,
    /// The service says that they must say who they are.
    ForwardUnauthorized,
    /// The service does not answer, not in time, or not as it should.
    ForwardUnavailable,
    /// Its head brings a key of its own, or asks for something that is not known here.
    Head,
    /// Another issuer made it.
    Issuer,
    /// The issuer has no such key.
    KeyUnknown,
    /// It cannot be checked now: the issuer's keys are not known, or too old.
    KeysUnknown,
    /// It is no signed token.
    Malformed,
    /// Nothing is shown.
    Missing,
    /// Its time has not come.
    NotYet,
    /// The password is not that of the name, or nobody has that name.
    Password,
    /// Too many passwords wait to be verified.
    PasswordsBusy,
    /// More than one is shown.
    Repeated,
    /// It does not let its bearer do this.
    Scope,
    /// It was not signed with the key that it names.
    Signature,
    /// It is longer than is looked at.
    TooLong,
}

/// What a client is told in a challenge (RFC 6750 §3.1); all else is for the log alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What the service that was asked says, in its own words.
    Forwarded,
    /// Only how to say who it is.
    How,
    /// `invalid_request`, `invalid_token` or `insufficient_scope`.
    Error(&'static str),
    /// Nothing: it is no matter of the client.
    Nothing,
}

impl Denied {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::ApiKeyExpired,
        Self::ApiKeyUnknown,
        Self::Algorithm,
        Self::Audience,
        Self::CertificateExpired,
        Self::CertificateMissing,
        Self::CertificateNameless,
        Self::Claims,
        Self::Expired,
        Self::ForwardBusy,
        Self::ForwardForbidden,
        Self::ForwardRedirected,
        Self::ForwardUnauthorized,
        Self::ForwardUnavailable,
        Self::Head,
        Self::Issuer,
        Self::KeyUnknown,
        Self::KeysUnknown,
        Self::Malformed,
        Self::Missing,
        Self::NotYet,
        Self::Password,
        Self::PasswordsBusy,
        Self::Repeated,
        Self::Scope,
        Self::Signature,
        Self::TooLong,
    ];

    /// The reason in log and metrics, and the status of the answer.
    #[must_use]
    pub const fn row(self) -> (&'static str, u16) {
        match self {
            Self::ApiKeyExpired => ("api_key_expired", 401),
            Self::ApiKeyUnknown => ("api_key_unknown", 401),
            Self::Algorithm => ("token_algorithm", 401),
            Self::Audience => ("token_audience", 401),
            Self::CertificateExpired => ("certificate_expired", 401),
            Self::CertificateMissing => ("certificate_missing", 401),
            Self::CertificateNameless => ("certificate_nameless", 401),
            Self::Claims => ("token_claims", 401),
            Self::Expired => ("token_expired", 401),
            Self::ForwardBusy => ("forward_busy", 503),
            Self::ForwardForbidden => ("forward_forbidden", 403),
            // Found, as most say it; the client gets the one that was said.
            Self::ForwardRedirected => ("forward_redirected", 302),
            Self::ForwardUnauthorized => ("forward_unauthorized", 401),
            Self::ForwardUnavailable => ("forward_unavailable", 503),
            Self::Head => ("token_head", 401),
            Self::Issuer => ("token_issuer", 401),
            Self::KeyUnknown => ("token_key_unknown", 401),
            Self::KeysUnknown => ("token_keys_unavailable", 503),
            Self::Malformed => ("token_malformed", 401),
            Self::Missing => ("token_missing", 401),
            Self::NotYet => ("token_not_yet", 401),
            Self::Password => ("password_wrong", 401),
            Self::PasswordsBusy => ("passwords_busy", 503),
            Self::Repeated => ("token_repeated", 400),
            Self::Scope => ("scope_missing", 403),
            Self::Signature => ("token_signature", 401),
            Self::TooLong => ("token_too_long", 401),
        }
    }

    /// What the client is told.
    #[must_use]
    pub const fn told(self) -> Told {
        match self {
            Self::ApiKeyExpired
            | Self::ApiKeyUnknown
            | Self::CertificateExpired
            | Self::CertificateMissing
            | Self::CertificateNameless
            | Self::Missing
            | Self::Password => Told::How,
            Self::ForwardForbidden | Self::ForwardRedirected | Self::ForwardUnauthorized => {
                Told::Forwarded
            }
            Self::Repeated => Told::Error("invalid_request"),
            Self::Scope => Told::Error("insufficient_scope"),
            Self::ForwardBusy
            | Self::ForwardUnavailable
            | Self::KeysUnknown
            | Self::PasswordsBusy => Told::Nothing,
            _ => Told::Error("invalid_token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_learns_no_more_than_the_standard_lets_it() {
        for denied in Denied::ALL {
            let (reason, status) = denied.row();
            let told = match denied.told() {
                Told::Forwarded => continue,
                Told::How => 401,
                Told::Error("invalid_request") => 400,
                Told::Error("invalid_token") => 401,
                Told::Error("insufficient_scope") => 403,
                Told::Nothing => 503,
                Told::Error(other) => panic!("{other}"),
            };
            assert_eq!(status, told, "{reason}");
        }
        let reasons: std::collections::BTreeSet<_> = Denied::ALL.map(|one| one.row().0).into();
        assert_eq!(reasons.len(), Denied::ALL.len());
    }
}
