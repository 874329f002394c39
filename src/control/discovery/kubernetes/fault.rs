//! What is said when the API server cannot be asked: verb, object and reason.

use kube::Error;
use std::error::Error as Cause;

/// Why `verb` did not work on the slices of `namespace`, in words for an operator.
pub(super) fn of(verb: &str, namespace: &str, error: &Error) -> String {
    let why = match error {
        Error::Api(status) => match status.code {
            401 => "unauthorized: the API server does not accept the token or certificate, or \
                    it has expired"
                .to_owned(),
            403 => format!("forbidden: {}", status.message),
            410 => format!("gone: {}", status.message),
            code => format!("{code} {}: {}", status.reason, status.message),
        },
        Error::SerdeError(error) => format!("the answer is not one of an API server: {error}"),
        error => {
            let whole = whole(error);
            let is_foreign = whole.contains("UnknownIssuer");
            let hint = ": expected one of the authority in the credentials";
            format!("{whole}{}", if is_foreign { hint } else { "" })
        }
    };
    on(verb, namespace, &why)
}

/// The same for another reason.
pub(super) fn on(verb: &str, namespace: &str, why: &str) -> String {
    format!("cannot {verb} endpointslices.discovery.k8s.io in namespace {namespace}: {why}")
}

/// What `error` and its causes say, each once.
pub(super) fn whole(error: &dyn Cause) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
