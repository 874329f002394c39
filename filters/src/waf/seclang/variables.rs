//! The variables of the language: their names, and which of them hold more than one value.
//!
//! Source: ModSecurity reference manual v3, "Variables". A name that is not in [`VARIABLES`] is
//! refused when rules are loaded.

/// A variable: one value, or a collection of named ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names of the reference manual, in VARIABLES")]
#[repr(u8)]
pub enum Variable {
    Args,
    ArgsCombinedSize,
    ArgsGet,
    ArgsGetNames,
    ArgsNames,
    ArgsPost,
    ArgsPostNames,
    ArgumentsLimitReached,
    Duration,
    Files,
    FilesCombinedSize,
    FilesNames,
    FilesSizes,
    FullRequestLength,
    HighestSeverity,
    InboundDataError,
    MatchedVar,
    MatchedVarName,
    MatchedVars,
    MatchedVarsNames,
    MultipartBoundaryQuoted,
    MultipartBoundaryWhitespace,
    MultipartDataAfter,
    MultipartDataBefore,
    MultipartFileLimitExceeded,
    MultipartFilename,
    MultipartHeaderFolding,
    MultipartInvalidHeaderFolding,
    MultipartInvalidPart,
    MultipartInvalidQuoting,
    MultipartLfLine,
    MultipartMissingSemicolon,
    MultipartName,
    MultipartPartHeaders,
    MultipartStrictError,
    MultipartUnmatchedBoundary,
    OutboundDataError,
    PathInfo,
    QueryString,
    RemoteAddr,
    RemoteHost,
    RemotePort,
    ReqbodyError,
    ReqbodyErrorMsg,
    ReqbodyProcessor,
    ReqbodyProcessorError,
    ReqbodyProcessorErrorMsg,
    RequestBasename,
    RequestBody,
    RequestBodyLength,
    RequestCookies,
    RequestCookiesNames,
    RequestFilename,
    RequestHeaders,
    RequestHeadersNames,
    RequestLine,
    RequestMethod,
    RequestProtocol,
    RequestUri,
    RequestUriRaw,
    ResponseBody,
    ResponseContentLength,
    ResponseContentType,
    ResponseHeaders,
    ResponseHeadersNames,
    ResponseProtocol,
    ResponseStatus,
    Rule,
    ServerAddr,
    ServerName,
    ServerPort,
    StatusLine,
    Time,
    TimeDay,
    TimeEpoch,
    TimeHour,
    TimeMin,
    TimeMon,
    TimeSec,
    TimeWday,
    TimeYear,
    Tx,
    UniqueId,
    UriParseError,
    UrlencodedError,
    WholeRequestBody,
    XmlAttributes,
    XmlText,
}

/// How many variables there are.
pub const COUNT: usize = Variable::XmlText as usize + 1;

/// How a variable's values are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value without a name.
    Scalar,
    /// Values with names, in any case.
    Keyed,
}

/// All variables: name, variable, shape.
pub const VARIABLES: &[(&str, Variable, Shape)] = &[
    ("ARGS", Variable::Args, Shape::Keyed),
    ("ARGS_COMBINED_SIZE", Variable::ArgsCombinedSize, Shape::Scalar),
    ("ARGS_GET", Variable::ArgsGet, Shape::Keyed),
    ("ARGS_GET_NAMES", Variable::ArgsGetNames, Shape::Keyed),
    ("ARGS_NAMES", Variable::ArgsNames, Shape::Keyed),
    ("ARGS_POST", Variable::ArgsPost, Shape::Keyed),
    ("ARGS_POST_NAMES", Variable::ArgsPostNames, Shape::Keyed),
    ("ARGUMENTS_LIMIT_REACHED", Variable::ArgumentsLimitReached, Shape::Scalar),
    ("DURATION", Variable::Duration, Shape::Scalar),
    ("FILES", Variable::Files, Shape::Keyed),
    ("FILES_COMBINED_SIZE", Variable::FilesCombinedSize, Shape::Scalar),
    ("FILES_NAMES", Variable::FilesNames, Shape::Keyed),
    ("FILES_SIZES", Variable::FilesSizes, Shape::Keyed),
    ("FULL_REQUEST_LENGTH", Variable::FullRequestLength, Shape::Scalar),
    ("HIGHEST_SEVERITY", Variable::HighestSeverity, Shape::Scalar),
    ("INBOUND_DATA_ERROR", Variable::InboundDataError, Shape::Scalar),
    ("MATCHED_VAR", Variable::MatchedVar, Shape::Scalar),
    ("MATCHED_VARS", Variable::MatchedVars, Shape::Keyed),
    ("MATCHED_VARS_NAMES", Variable::MatchedVarsNames, Shape::Keyed),
    ("MATCHED_VAR_NAME", Variable::MatchedVarName, Shape::Scalar),
    ("MULTIPART_BOUNDARY_QUOTED", Variable::MultipartBoundaryQuoted, Shape::Scalar),
    ("MULTIPART_BOUNDARY_WHITESPACE", Variable::MultipartBoundaryWhitespace, Shape::Scalar),
    ("MULTIPART_DATA_AFTER", Variable::MultipartDataAfter, Shape::Scalar),
    ("MULTIPART_DATA_BEFORE", Variable::MultipartDataBefore, Shape::Scalar),
    ("MULTIPART_FILENAME", Variable::MultipartFilename, Shape::Keyed),
    ("MULTIPART_FILE_LIMIT_EXCEEDED", Variable::MultipartFileLimitExceeded, Shape::Scalar),
    ("MULTIPART_HEADER_FOLDING", Variable::MultipartHeaderFolding, Shape::Scalar),
    ("MULTIPART_INVALID_HEADER_FOLDING", Variable::MultipartInvalidHeaderFolding, Shape::Scalar),
    ("MULTIPART_INVALID_PART", Variable::MultipartInvalidPart, Shape::Scalar),
    ("MULTIPART_INVALID_QUOTING", Variable::MultipartInvalidQuoting, Shape::Scalar),
    ("MULTIPART_LF_LINE", Variable::MultipartLfLine, Shape::Scalar),
    ("MULTIPART_MISSING_SEMICOLON", Variable::MultipartMissingSemicolon, Shape::Scalar),
    ("MULTIPART_NAME", Variable::MultipartName, Shape::Keyed),
    ("MULTIPART_PART_HEADERS", Variable::MultipartPartHeaders, Shape::Keyed),
    ("MULTIPART_STRICT_ERROR", Variable::MultipartStrictError, Shape::Scalar),
    ("MULTIPART_UNMATCHED_BOUNDARY", Variable::MultipartUnmatchedBoundary, Shape::Scalar),
    ("OUTBOUND_DATA_ERROR", Variable::OutboundDataError, Shape::Scalar),
    ("PATH_INFO", Variable::PathInfo, Shape::Scalar),
    ("QUERY_STRING", Variable::QueryString, Shape::Scalar),
    ("REMOTE_ADDR", Variable::RemoteAddr, Shape::Scalar),
    ("REMOTE_HOST", Variable::RemoteHost, Shape::Scalar),
    ("REMOTE_PORT", Variable::RemotePort, Shape::Scalar),
    ("REQBODY_ERROR", Variable::ReqbodyError, Shape::Scalar),
    ("REQBODY_ERROR_MSG", Variable::ReqbodyErrorMsg, Shape::Scalar),
    ("REQBODY_PROCESSOR", Variable::ReqbodyProcessor, Shape::Scalar),
    ("REQBODY_PROCESSOR_ERROR", Variable::ReqbodyProcessorError, Shape::Scalar),
    ("REQBODY_PROCESSOR_ERROR_MSG", Variable::ReqbodyProcessorErrorMsg, Shape::Scalar),
    ("REQUEST_BASENAME", Variable::RequestBasename, Shape::Scalar),
    ("REQUEST_BODY", Variable::RequestBody, Shape::Scalar),
    ("REQUEST_BODY_LENGTH", Variable::RequestBodyLength, Shape::Scalar),
    ("REQUEST_COOKIES", Variable::RequestCookies, Shape::Keyed),
    ("REQUEST_COOKIES_NAMES", Variable::RequestCookiesNames, Shape::Keyed),
    ("REQUEST_FILENAME", Variable::RequestFilename, Shape::Scalar),
    ("REQUEST_HEADERS", Variable::RequestHeaders, Shape::Keyed),
    ("REQUEST_HEADERS_NAMES", Variable::RequestHeadersNames, Shape::Keyed),
    ("REQUEST_LINE", Variable::RequestLine, Shape::Scalar),
    ("REQUEST_METHOD", Variable::RequestMethod, Shape::Scalar),
    ("REQUEST_PROTOCOL", Variable::RequestProtocol, Shape::Scalar),
    ("REQUEST_URI", Variable::RequestUri, Shape::Scalar),
    ("REQUEST_URI_RAW", Variable::RequestUriRaw, Shape::Scalar),
    ("RESPONSE_BODY", Variable::ResponseBody, Shape::Scalar),
    ("RESPONSE_CONTENT_LENGTH", Variable::ResponseContentLength, Shape::Scalar),
    ("RESPONSE_CONTENT_TYPE", Variable::ResponseContentType, Shape::Scalar),
    ("RESPONSE_HEADERS", Variable::ResponseHeaders, Shape::Keyed),
    ("RESPONSE_HEADERS_NAMES", Variable::ResponseHeadersNames, Shape::Keyed),
    ("RESPONSE_PROTOCOL", Variable::ResponseProtocol, Shape::Scalar),
    ("RESPONSE_STATUS", Variable::ResponseStatus, Shape::Scalar),
    ("RULE", Variable::Rule, Shape::Keyed),
    ("SERVER_ADDR", Variable::ServerAddr, Shape::Scalar),
    ("SERVER_NAME", Variable::ServerName, Shape::Scalar),
    ("SERVER_PORT", Variable::ServerPort, Shape::Scalar),
    ("STATUS_LINE", Variable::StatusLine, Shape::Scalar),
    ("TIME", Variable::Time, Shape::Scalar),
    ("TIME_DAY", Variable::TimeDay, Shape::Scalar),
    ("TIME_EPOCH", Variable::TimeEpoch, Shape::Scalar),
    ("TIME_HOUR", Variable::TimeHour, Shape::Scalar),
    ("TIME_MIN", Variable::TimeMin, Shape::Scalar),
    ("TIME_MON", Variable::TimeMon, Shape::Scalar),
    ("TIME_SEC", Variable::TimeSec, Shape::Scalar),
    ("TIME_WDAY", Variable::TimeWday, Shape::Scalar),
    ("TIME_YEAR", Variable::TimeYear, Shape::Scalar),
    ("TX", Variable::Tx, Shape::Keyed),
    ("UNIQUE_ID", Variable::UniqueId, Shape::Scalar),
    ("URI_PARSE_ERROR", Variable::UriParseError, Shape::Scalar),
    ("URLENCODED_ERROR", Variable::UrlencodedError, Shape::Scalar),
    ("XML", Variable::XmlText, Shape::Keyed),
];

impl Variable {
    /// The variable called `name`, in any case. `XML` is found as its text, `REQUEST_BODY` as what
    /// ModSecurity 2 has; which rules get the other is decided when all are read.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        VARIABLES
            .binary_search_by_key(&upper.as_str(), |(name, ..)| name)
            .ok()
            .and_then(|index| VARIABLES.get(index))
            .map(|(_, variable, _)| *variable)
    }

    /// Its name in rules and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::XmlAttributes => "XML",
            Self::WholeRequestBody => "REQUEST_BODY",
            _ => self.row().map_or("", |(name, ..)| name),
        }
    }

    /// How its values are had.
    #[must_use]
    pub fn shape(self) -> Shape {
        if self == Self::XmlAttributes {
            return Shape::Keyed;
        }
        self.row().map_or(Shape::Scalar, |(_, _, shape)| *shape)
    }

    /// The same, as rules name it: both kinds of `REQUEST_BODY` are one.
    #[must_use]
    pub fn as_named(self) -> Self {
        if self == Self::WholeRequestBody { Self::RequestBody } else { self }
    }

    /// Whether its value may change while a phase runs, so that it is looked up at each rule.
    #[must_use]
    pub fn is_fluid(self) -> bool {
        matches!(
            self,
            Self::Tx
                | Self::Rule
                | Self::MatchedVar
                | Self::MatchedVarName
                | Self::MatchedVars
                | Self::MatchedVarsNames
                | Self::Duration
                | Self::HighestSeverity
                | Self::ReqbodyProcessor
        )
    }

    fn row(self) -> Option<&'static (&'static str, Self, Shape)> {
        VARIABLES.iter().find(|(_, variable, _)| *variable == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(VARIABLES.is_sorted_by_key(|(name, ..)| *name));
        assert_eq!(VARIABLES.len(), COUNT - 2, "all but XML's attributes and the whole body");
        for (name, variable, _) in VARIABLES {
            assert_eq!(Variable::parse(&name.to_lowercase()), Some(*variable));
            assert_eq!(variable.name(), *name);
        }
    }
}
