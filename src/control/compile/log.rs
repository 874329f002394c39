//! The access log, compiled: how lines look, what they hold, which there are.

use crate::config::{AccessLog, AccessLogTarget, FieldName, SampleRule};
use crate::data::listener::places::Places;
use crate::data::log_line::{
    Capture, Captures, LogPlan, Names, Piece, Redact, Rule, Sampling, Style,
};
use crate::types::log_format::{LogFormat, LogPiece};
use crate::types::units::ByteSize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Compiles `config`, which was checked; `places` are where addresses are, if anything says so.
pub(super) fn compile(config: &AccessLog, places: Option<Arc<Places>>) -> LogPlan {
    let redact = redact(config);
    let capture = Capture {
        request: captures(&config.headers.request, &redact),
        response: captures(&config.headers.response, &redact),
    };
    if config.to == AccessLogTarget::Off {
        return LogPlan::default();
    }
    let style = match &config.format {
        LogFormat::Json => Style::Json(Names::own()),
        LogFormat::Ecs => Style::Json(Names::of_ecs()),
        LogFormat::HttpLog => Style::HttpLog,
        LogFormat::Text { pieces, .. } => {
            Style::Text(pieces.iter().filter_map(|it| piece(it, &capture)).collect())
        }
    };
    let sampling = Sampling(config.sample.iter().map(rule).collect());
    LogPlan { style: Some(style), capture, redact, sampling, places }
}

/// What is shown as `***`.
pub(super) fn redact(config: &AccessLog) -> Redact {
    let lower = |text: &str| text.to_ascii_lowercase().into_bytes().into();
    Redact {
        headers: config.redact.headers.iter().map(|name| name.as_str().into()).collect(),
        parameters: config.redact.parameters.iter().map(|name| lower(name.as_str())).collect(),
    }
}

fn captures(wanted: &BTreeMap<FieldName, ByteSize>, redact: &Redact) -> Vec<Captures> {
    let captures = |(name, most): (&FieldName, &ByteSize)| Captures {
        name: name.as_str().into(),
        bytes_max: usize::try_from(most.as_bytes()).unwrap_or(usize::MAX),
        is_hidden: Capture::is_secret(name.as_str(), redact),
    };
    wanted.iter().map(captures).collect()
}

/// A piece with its captured field by its place; `None` if it is not captured.
fn piece(piece: &LogPiece, capture: &Capture) -> Option<Piece> {
    let place = |list: &[Captures], name: &str| list.iter().position(|one| *one.name == *name);
    match piece {
        LogPiece::Text(text) => Some(Piece::Text(text.clone())),
        LogPiece::Field(field) => Some(Piece::Field(*field)),
        LogPiece::RequestHeader(name) => place(&capture.request, name).map(Piece::RequestHeader),
        LogPiece::ResponseHeader(name) => place(&capture.response, name).map(Piece::ResponseHeader),
    }
}

fn rule(rule: &SampleRule) -> Rule {
    Rule {
        route: rule.route.clone(),
        status: rule.status.as_ref().map(|status| status.ranges().to_vec()),
        share: rule.share.as_basis_points(),
    }
}
