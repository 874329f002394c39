//! Folds words: what says the same in fewer words becomes the fewer words, so that five are enough
//! to know an injection by.
//!
//! The rules and their order are libinjection's. They look at two words, then at three, from
//! `left` on; each either takes words away and begins anew, or leaves them and goes one on.

use super::WORDS_MAX;
use super::lexer::Lexer;
use super::token::{
    BACKSLASH, BAREWORD, COLLATE, COMMA, COMMENT, DOT, EVIL, EXPRESSION, FUNCTION, GROUP, KEYWORD,
    LEFT_BRACE, LEFT_PARENTHESIS, LOGIC, NUMBER, OPERATOR, RIGHT_BRACE, RIGHT_PARENTHESIS,
    SEMICOLON, STRING, TSQL, TYPE, Token, UNION, VARIABLE,
};
use super::words;

/// One more than a fingerprint has: it tells what the last one is.
const PLACES: usize = WORDS_MAX + 1;

/// What a rule did.
enum Rule {
    /// Nothing: the next rules may.
    None,
    /// Something: the rules begin anew.
    Done,
    /// So much that this many words are all.
    Stop(usize),
}

struct Fold<'a> {
    tokens: [Token<'a>; PLACES],
    /// Where the next word goes.
    end: usize,
    /// Words before this are done.
    left: usize,
    has_more: bool,
    comment: Option<Token<'a>>,
}

/// Reads and folds: the words, and how many they are.
pub(super) fn fold<'a>(lexer: &mut Lexer<'a>) -> ([Token<'a>; PLACES], usize) {
    let mut fold =
        Fold { tokens: [Token::NONE; PLACES], end: 1, left: 0, has_more: true, comment: None };
    // What may stand before anything says nothing.
    let skipped =
        |token: &Token<'_>| token.is(&[COMMENT, LEFT_PARENTHESIS, TYPE]) || token.is_unary();
    let first = loop {
        match lexer.next() {
            Some(token) if skipped(&token) => {}
            Some(token) => break token,
            None => return (fold.tokens, 0),
        }
    };
    fold.set(0, first);
    let length = fold.run(lexer);
    (fold.tokens, length)
}

impl<'a> Fold<'a> {
    fn at(&self, index: usize) -> Token<'a> {
        self.tokens.get(index).copied().unwrap_or(Token::NONE)
    }

    fn set(&mut self, index: usize, token: Token<'a>) {
        if let Some(place) = self.tokens.get_mut(index) {
            *place = token;
        }
    }

    fn set_kind(&mut self, index: usize, kind: u8) {
        self.set(index, Token { kind, ..self.at(index) });
    }

    /// Takes `count` words from the end; the rules begin at the first word.
    fn drop_and_restart(&mut self, count: usize) -> Rule {
        self.end = self.end.saturating_sub(count);
        self.left = 0;
        Rule::Done
    }

    /// Takes a word from the end; the rules begin a word before.
    fn drop_and_step_back(&mut self) -> Rule {
        self.end -= 1;
        self.left = self.left.saturating_sub(1);
        Rule::Done
    }

    fn run(&mut self, lexer: &mut Lexer<'a>) -> usize {
        loop {
            self.free_places();
            if !self.has_more || self.left >= WORDS_MAX {
                self.left = self.end;
                break;
            }
            self.read(lexer, 2);
            if self.end < self.left + 2 {
                self.left = self.end;
                continue;
            }
            match self.fold_two() {
                Rule::None => {}
                Rule::Done => continue,
                Rule::Stop(length) => return length,
            }
            self.read(lexer, 3);
            if self.end < self.left + 3 {
                self.left = self.end;
                continue;
            }
            if matches!(self.fold_three(), Rule::None) {
                self.left += 1;
            }
        }
        if self.left < WORDS_MAX
            && let Some(comment) = self.comment
        {
            self.set(self.left, comment);
            self.left += 1;
        }
        self.left.min(WORDS_MAX)
    }

    /// Makes room when five words are there and say little.
    fn free_places(&mut self) {
        if self.end < WORDS_MAX {
            return;
        }
        let [a, b, c, d, e, sixth] = self.tokens;
        let says_little = matches!(
            [a.kind, b.kind, c.kind, d.kind, e.kind],
            [NUMBER, OPERATOR | COMMA, LEFT_PARENTHESIS, NUMBER, RIGHT_PARENTHESIS]
                | [BAREWORD, OPERATOR, LEFT_PARENTHESIS, BAREWORD | NUMBER, RIGHT_PARENTHESIS]
                | [NUMBER, RIGHT_PARENTHESIS, COMMA, LEFT_PARENTHESIS, NUMBER]
                | [BAREWORD, RIGHT_PARENTHESIS, OPERATOR, LEFT_PARENTHESIS, BAREWORD]
        );
        if !says_little {
            return;
        }
        if self.end > WORDS_MAX {
            self.set(1, sixth);
            (self.left, self.end) = (1, 2);
        } else {
            (self.left, self.end) = (0, 1);
        }
    }

    /// Reads until there are `count` words from `left` on.
    fn read(&mut self, lexer: &mut Lexer<'a>, count: usize) {
        while self.has_more && self.end <= WORDS_MAX && self.end < self.left + count {
            let token = lexer.next();
            self.set(self.end, token.unwrap_or(Token::NONE));
            match token {
                None => self.has_more = false,
                Some(token) if token.kind == COMMENT => self.comment = Some(token),
                Some(_) => {
                    self.comment = None;
                    self.end += 1;
                }
            }
        }
    }

    fn fold_two(&mut self) -> Rule {
        let (a, b) = (self.at(self.left), self.at(self.left + 1));
        match (a.kind, b.kind) {
            (STRING, STRING) | (SEMICOLON, SEMICOLON) => {
                self.end -= 1;
                return Rule::Done;
            }
            (OPERATOR | LOGIC, _) if b.is_unary() || b.kind == TYPE => {
                return self.drop_and_restart(1);
            }
            (LEFT_PARENTHESIS, _) if b.is_unary() => return self.drop_and_step_back(),
            _ => {}
        }
        if let Some((kind, phrase)) = merged(a, b) {
            self.set(self.left, Token { close: a.close, open: a.open, ..Token::new(kind, phrase) });
            return self.drop_and_step_back();
        }
        match self.change_first(a, b) {
            Rule::None => self.drop_one_of_two(a, b),
            rule => rule,
        }
    }

    /// Rules that give a word another kind for what follows it.
    fn change_first(&mut self, a: Token<'a>, b: Token<'a>) -> Rule {
        let is_called = b.kind == LEFT_PARENTHESIS;
        match a.kind {
            // `IF` is a function, but after `;` a statement of Transact-SQL.
            SEMICOLON if b.kind == FUNCTION && matches!(b.text, [b'i' | b'I', b'f' | b'F', ..]) => {
                self.set_kind(self.left + 1, TSQL);
                Rule::Done
            }
            BAREWORD | VARIABLE if is_called && is_function_too(a) => {
                self.set_kind(self.left, FUNCTION);
                Rule::Done
            }
            KEYWORD if a.says(b"IN") || a.says(b"NOT IN") => {
                self.set_kind(self.left, if is_called { OPERATOR } else { BAREWORD });
                Rule::Done
            }
            _ => Rule::None,
        }
    }

    fn drop_one_of_two(&mut self, a: Token<'a>, b: Token<'a>) -> Rule {
        match (a.kind, b.kind) {
            (OPERATOR, _) if a.says(b"LIKE") || a.says(b"NOT LIKE") => {
                if b.kind == LEFT_PARENTHESIS {
                    self.set_kind(self.left, FUNCTION);
                }
                Rule::None
            }
            (TYPE, BAREWORD | NUMBER | TYPE | LEFT_PARENTHESIS | FUNCTION | VARIABLE | STRING) => {
                self.set(self.left, b);
                self.drop_and_restart(1)
            }
            (COLLATE, BAREWORD) => {
                // There are too many collations to list: they have a `_`.
                if b.text.contains(&b'_') {
                    self.set_kind(self.left + 1, TYPE);
                    self.left = 0;
                }
                Rule::None
            }
            // Transact-SQL reads `\%1` as `0 % 1`, and `\1` as `1`.
            (BACKSLASH, _) if b.is_arithmetic() => {
                self.set_kind(self.left, NUMBER);
                self.drop_and_restart(0)
            }
            (BACKSLASH, _) => {
                self.set(self.left, b);
                self.drop_and_restart(1)
            }
            (LEFT_PARENTHESIS, LEFT_PARENTHESIS) | (RIGHT_PARENTHESIS, RIGHT_PARENTHESIS) => {
                self.drop_and_restart(1)
            }
            // MySQL: `{ ``.``.id }`.
            (LEFT_BRACE, BAREWORD) if b.text.is_empty() => {
                self.set_kind(self.left + 1, EVIL);
                Rule::Stop(self.left + 2)
            }
            // ODBC: `{name expression}` is the expression.
            (LEFT_BRACE, BAREWORD) => self.drop_and_restart(2),
            (_, RIGHT_BRACE) => self.drop_and_restart(1),
            _ => Rule::None,
        }
    }

    fn fold_three(&mut self) -> Rule {
        let left = self.left;
        let (a, b, c) = (self.at(left), self.at(left + 1), self.at(left + 2));
        if is_one_value(a, b, c) {
            return self.drop_and_restart(2);
        }
        let is_value = c.is(&[NUMBER, BAREWORD, VARIABLE, STRING]);
        match (a.kind, b.kind, c.kind) {
            // `SELECT -1`, `LIMIT + (`: the sign says nothing.
            (EXPRESSION | GROUP | COMMA, _, LEFT_PARENTHESIS) if b.is_unary() => {}
            (KEYWORD | EXPRESSION | GROUP, _, _)
                if b.is_unary() && (is_value || c.kind == FUNCTION) => {}
            // `1, -1` is `1`, once a word before it is looked at again.
            (COMMA, _, _) if b.is_unary() && is_value => {
                self.set(left + 1, c);
                return self.drop_and_restart(3);
            }
            (COMMA, _, FUNCTION) if b.is_unary() => {}
            // `database.table`
            (BAREWORD, DOT, BAREWORD) => return self.drop_and_restart(2),
            // ``SELECT . `name` ``
            (EXPRESSION, DOT, BAREWORD) => {}
            (FUNCTION, LEFT_PARENTHESIS, kind) => {
                // `USER()` is a function, `USER(name)` is none.
                if kind != RIGHT_PARENTHESIS && a.says(b"USER") {
                    self.set_kind(left, BAREWORD);
                }
                return Rule::None;
            }
            _ => return Rule::None,
        }
        self.set(left + 1, c);
        self.drop_and_restart(1)
    }
}

/// Whether three words are as good as the first alone: `1 + 2`, `a, b`, `x::int`.
fn is_one_value(a: Token<'_>, b: Token<'_>, c: Token<'_>) -> bool {
    match (a.kind, b.kind, c.kind) {
        (NUMBER | BAREWORD, OPERATOR, NUMBER | BAREWORD)
        | (VARIABLE, OPERATOR, VARIABLE | NUMBER | BAREWORD)
        | (LOGIC, _, LOGIC) => true,
        (OPERATOR, second, OPERATOR) => second != LEFT_PARENTHESIS,
        (BAREWORD | NUMBER | VARIABLE | STRING, OPERATOR, TYPE) => b.text == b"::",
        (BAREWORD | NUMBER | STRING | VARIABLE, COMMA, NUMBER | BAREWORD | STRING | VARIABLE) => {
            true
        }
        _ => false,
    }
}

/// The phrase that two words are, such as `UNION ALL`.
fn merged(a: Token<'_>, b: Token<'_>) -> Option<(u8, &'static [u8])> {
    const MERGED: [u8; 8] = [KEYWORD, BAREWORD, OPERATOR, UNION, FUNCTION, EXPRESSION, TSQL, TYPE];
    let may_be = a.is(&MERGED) && (b.is(&MERGED) || b.kind == LOGIC);
    if may_be { words::find_phrase(a.text, b.text) } else { None }
}

/// Names that are functions when `(` follows.
fn is_function_too(token: Token<'_>) -> bool {
    const NAMES: [&[u8]; 11] = [
        b"USER_ID",
        b"USER_NAME",
        b"DATABASE",
        b"PASSWORD",
        b"USER",
        b"CURRENT_USER",
        b"CURRENT_DATE",
        b"CURRENT_TIME",
        b"CURRENT_TIMESTAMP",
        b"LOCALTIME",
        b"LOCALTIMESTAMP",
    ];
    NAMES.iter().any(|name| token.says(name))
}
