//! The body of a request: read by its processor, arguments and files into the variables.

use super::state::State;
use super::strings::Id;
use super::tx::decimal;
use super::verdict::{Action, Interruption};
use crate::waf::body::{self, Fault, Fields, Limits, MultipartFlags};
use crate::waf::program::Program;
use crate::waf::seclang::settings::{EngineMode, LimitAction, Processor};
use crate::waf::seclang::variables::Variable;

/// The status of a body above its limit (RFC 9110, section 15.5.14).
const TOO_LARGE: u16 = 413;

/// Puts what a processor finds into the variables.
pub(crate) struct Sink<'a> {
    state: &'a mut State,
    program: &'a Program,
    values: Variable,
    names: Variable,
    files_bytes: usize,
    last_field: Id,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(
        state: &'a mut State,
        program: &'a Program,
        values: Variable,
        names: Variable,
    ) -> Self {
        Self { state, program, values, names, files_bytes: 0, last_field: 0 }
    }

    /// Adds a value when any rule looks at its variable: there may be thousands.
    fn push(&mut self, variable: Variable, key: Id, value: Id) {
        if self.program.uses(variable) {
            self.state.values.push(variable, key, value);
        }
    }

    /// Sums up what was found.
    pub(crate) fn finish(self) {
        let program = self.program;
        if program.uses(Variable::ArgsCombinedSize) {
            let length = |id: Id| self.state.strings.get(id).len();
            let arguments = self.state.values.of(Variable::Args);
            let bytes: usize =
                arguments.iter().map(|field| length(field.key) + length(field.value)).sum();
            self.state.set_number(program, Variable::ArgsCombinedSize, bytes as i64);
        }
        if self.values == Variable::ArgsPost {
            let bytes = self.files_bytes as i64;
            self.state.set_number(program, Variable::FilesCombinedSize, bytes);
        }
    }
}

impl Fields for Sink<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) {
        let key = self.state.strings.intern(name);
        let value = self.state.strings.intern(value);
        self.state.values.push(Variable::Args, key, value);
        self.push(self.values, key, value);
        self.push(Variable::ArgsNames, key, key);
        self.push(self.names, key, key);
    }

    fn file(&mut self, field: &[u8], name: &[u8], size_bytes: usize) {
        let strings = &mut self.state.strings;
        let key = strings.intern(field);
        let name = strings.intern(name);
        let size = decimal(strings, size_bytes as i64);
        let values = &mut self.state.values;
        values.push(Variable::Files, key, name);
        values.push(Variable::FilesNames, key, key);
        values.push(Variable::FilesSizes, key, size);
        values.push(Variable::MultipartName, key, key);
        values.push(Variable::MultipartFilename, key, name);
        self.files_bytes = self.files_bytes.saturating_add(size_bytes);
        self.last_field = key;
    }

    fn file_alias(&mut self, name: &[u8]) {
        let name = self.state.strings.intern(name);
        self.state.values.push(Variable::Files, self.last_field, name);
        self.state.values.push(Variable::MultipartFilename, self.last_field, name);
    }

    fn part_header(&mut self, part: &[u8], line: &[u8]) {
        let key = self.state.strings.intern(part);
        let line = self.state.strings.intern(line);
        self.state.values.push(Variable::MultipartPartHeaders, key, line);
    }

    fn xml_text(&mut self, text: &[u8]) {
        let text = self.state.strings.intern(text);
        self.state.values.push(Variable::XmlText, 0, text);
    }

    fn xml_attribute(&mut self, value: &[u8]) {
        let value = self.state.strings.intern(value);
        self.state.values.push(Variable::XmlAttributes, 0, value);
    }
}

impl State {
    /// Whether the body is read by a processor.
    pub(crate) fn has_processor(&self) -> bool {
        let processor = self.values.of(Variable::ReqbodyProcessor).first();
        let named = processor.map_or(&[][..], |field| self.strings.get(field.value));
        self.forces_request_body || !named.is_empty()
    }

    /// Whether rules make something of a body of any type.
    pub(crate) fn reads_every_body(program: &Program) -> bool {
        program.uses(Variable::WholeRequestBody)
    }

    /// Fills the variables of phase 2.
    pub(crate) fn load_body(&mut self, program: &Program, body: &[u8]) {
        if self.engine == EngineMode::Off || !self.reads_request_body || body.is_empty() {
            return;
        }
        let settings = &program.settings;
        let body = match body.get(..settings.request_body_bytes_max) {
            Some(part) if part.len() < body.len() => {
                self.set(program, Variable::InboundDataError, b"1");
                if settings.request_body_limit == LimitAction::Reject {
                    self.too_large();
                    return;
                }
                part
            }
            _ => body,
        };
        self.set_number(program, Variable::RequestBodyLength, body.len() as i64);
        self.set(program, Variable::WholeRequestBody, body);
        let processor = self.values.of(Variable::ReqbodyProcessor).first();
        let named = processor.map_or(&[][..], |field| self.strings.get(field.value));
        let processor = std::str::from_utf8(named).ok().and_then(Processor::parse);
        let processor = match processor {
            None if self.forces_request_body => Processor::Urlencoded,
            None => return,
            Some(processor) => processor,
        };
        self.set(program, Variable::ReqbodyProcessor, processor.name().as_bytes());
        // As in ModSecurity 2. Rules that are written for version 3 have the whole body.
        if processor == Processor::Urlencoded || self.forces_request_body {
            self.set(program, Variable::RequestBody, body);
        }
        let most = settings.request_body_no_files_bytes_max;
        match most.filter(|most| processor != Processor::Multipart && body.len() > *most) {
            Some(_) => self.too_large_without_files(program),
            None => self.process(program, processor, body),
        }
    }

    /// What is longer than `SecRequestBodyNoFilesLimit` is not taken apart; rules see that.
    fn too_large_without_files(&mut self, program: &Program) {
        const MESSAGE: &[u8] = b"Request body excluding files is bigger than the maximum expected.";
        self.set(program, Variable::ReqbodyError, b"1");
        self.set(program, Variable::ReqbodyErrorMsg, MESSAGE);
        self.set(program, Variable::InboundDataError, b"1");
    }

    fn too_large(&mut self) {
        let refusal = Interruption { rule: 0, status: TOO_LARGE, action: Action::Deny };
        match self.engine {
            EngineMode::On => self.interruption = self.interruption.take().or(Some(refusal)),
            _ => self.would_interrupt = self.would_interrupt.take().or(Some(refusal)),
        }
    }

    fn process(&mut self, program: &Program, processor: Processor, body: &[u8]) {
        let settings = &program.settings;
        let limits = Limits {
            arguments: settings.arguments_max,
            depth: settings.json_depth_max,
            files: settings.files_max,
        };
        let content_type = match processor {
            Processor::Multipart => {
                let fields = self.values.of(Variable::RequestHeaders).iter();
                let is_type = |id: Id| self.strings.get(id).eq_ignore_ascii_case(b"content-type");
                let mut found = fields.filter(|field| is_type(field.key));
                found.next().map_or_else(Vec::new, |field| self.strings.get(field.value).to_vec())
            }
            _ => Vec::new(),
        };
        let mut sink = Sink::new(self, program, Variable::ArgsPost, Variable::ArgsPostNames);
        let mut flags = MultipartFlags::default();
        let read = match processor {
            Processor::Urlencoded => {
                body::urlencoded(body, settings.argument_separator, limits, &mut sink)
            }
            Processor::Json => body::json(body, limits, &mut sink),
            Processor::Xml => body::xml(body, limits, &mut sink),
            Processor::Multipart => {
                let read;
                (flags, read) = body::multipart(body, &content_type, limits, &mut sink);
                read
            }
        };
        sink.finish();
        if processor == Processor::Multipart {
            self.load_flags(program, flags);
        }
        if let Err(fault) = read {
            self.load_fault(program, processor, fault);
        }
    }

    fn load_fault(&mut self, program: &Program, processor: Processor, fault: Fault) {
        if let Fault::Arguments(_) = fault {
            self.set(program, Variable::ArgumentsLimitReached, b"1");
            if processor == Processor::Urlencoded {
                return;
            }
        }
        let message = fault.to_string();
        self.set(program, Variable::ReqbodyError, b"1");
        self.set(program, Variable::ReqbodyProcessorError, b"1");
        self.set(program, Variable::ReqbodyProcessorErrorMsg, message.as_bytes());
        let message = format!("{}: {message}", processor.name());
        self.set(program, Variable::ReqbodyErrorMsg, message.as_bytes());
    }

    fn load_flags(&mut self, program: &Program, flags: MultipartFlags) {
        for (variable, is_set) in [
            (Variable::MultipartBoundaryQuoted, flags.boundary_quoted),
            (Variable::MultipartBoundaryWhitespace, flags.boundary_whitespace),
            (Variable::MultipartDataAfter, flags.data_after),
            (Variable::MultipartDataBefore, flags.data_before),
            (Variable::MultipartFileLimitExceeded, flags.file_limit_exceeded),
            (Variable::MultipartHeaderFolding, flags.header_folding),
            (Variable::MultipartInvalidHeaderFolding, flags.invalid_header_folding),
            (Variable::MultipartInvalidPart, flags.invalid_part),
            (Variable::MultipartInvalidQuoting, flags.invalid_quoting),
            (Variable::MultipartLfLine, flags.lf_line),
            (Variable::MultipartMissingSemicolon, flags.missing_semicolon),
            (Variable::MultipartStrictError, flags.strict_error()),
            (Variable::MultipartUnmatchedBoundary, flags.unmatched_boundary),
        ] {
            if is_set {
                self.set(program, variable, b"1");
            }
        }
    }
}
