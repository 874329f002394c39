//! Watching: looks again and again, and draws what it finds over what was there.
//!
//! On a terminal it has the alternate screen to itself, and gives it back however it ends;
//! elsewhere it prints one picture after the other. A proxy that cannot be reached any more is
//! asked again: it may come back.

use super::ask::Failure;
use super::table::{Line, Tone, text};
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Columns and rows where the terminal does not say how large it is.
const SIZE: (usize, usize) = (80, 24);

/// Calls `look` until Ctrl-C, with `pause` between two looks, and shows what `picture` makes of
/// what was found now and before.
pub(super) fn watch(
    pause: Duration,
    look: impl Fn() -> Result<String, Failure> + Clone + Send + 'static,
    picture: impl Fn(&str, Option<&str>) -> anyhow::Result<Vec<Line>>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    let result = runtime.block_on(watching(pause, look, picture));
    // A look that is under way is not waited for.
    runtime.shutdown_background();
    result
}

async fn watching(
    pause: Duration,
    look: impl Fn() -> Result<String, Failure> + Clone + Send + 'static,
    picture: impl Fn(&str, Option<&str>) -> anyhow::Result<Vec<Line>>,
) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(anyhow::Error::from)?;
    let mut screen: Option<Screen> = None;
    let mut before: Option<String> = None;
    loop {
        let looking = tokio::task::spawn_blocking(look.clone());
        let found = tokio::select! {
            found = looking => found.map_err(anyhow::Error::from)?,
            () = signals.end() => return Ok(()),
        };
        let lines = match &found {
            Ok(now) => picture(now, before.as_deref())?,
            Err(failure) if before.is_none() && screen.is_none() => {
                return Err(Failure::Unreached(anyhow::anyhow!("{}", failure.text())));
            }
            Err(failure) => vec![Line::new(Tone::Bad, failure.text())],
        };
        before = found.ok().or(before);
        let screen = match &mut screen {
            Some(screen) => screen,
            none => none.insert(Screen::enter().map_err(anyhow::Error::from)?),
        };
        if !wait(pause, screen, &lines, &mut signals).await? {
            return Ok(());
        }
    }
}

/// Draws `lines`, anew when the terminal changes its size. `false`: it is time to end.
async fn wait(
    pause: Duration,
    screen: &mut Screen,
    lines: &[Line],
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let over = tokio::time::sleep(pause);
    tokio::pin!(over);
    loop {
        match screen.draw(lines) {
            // Whoever read has left.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            drawn => drawn.map_err(anyhow::Error::from)?,
        }
        tokio::select! {
            () = &mut over => return Ok(true),
            is_end = signals.next() => if is_end { return Ok(false) },
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resize: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resize: signal(SignalKind::window_change())?,
        })
    }

    /// Waits for the next one. `true`: it is time to end; `false`: the terminal has another size.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => true,
            _ = self.terminate.recv() => true,
            _ = self.hangup.recv() => true,
            _ = self.resize.recv() => false,
        }
    }

    /// Waits until it is time to end.
    async fn end(&mut self) {
        while !self.next().await {}
    }
}

/// Standard output, as long as somebody watches.
struct Screen {
    is_terminal: bool,
    colour: bool,
}

impl Screen {
    fn enter() -> io::Result<Self> {
        let is_terminal = io::stdout().is_terminal();
        let screen = Self { is_terminal, colour: super::wants_colour(is_terminal) };
        if is_terminal {
            // The alternate screen, without a cursor.
            screen.write("\x1b[?1049h\x1b[?25l")?;
        }
        Ok(screen)
    }

    fn draw(&self, lines: &[Line]) -> io::Result<()> {
        if !self.is_terminal {
            return self.write(&(text(lines, self.colour) + "\n"));
        }
        let size = tcgetwinsize(io::stdout()).ok();
        let given = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (width, height) = given.filter(|(w, h)| *w > 0 && *h > 0).unwrap_or(SIZE);
        self.write(&frame(lines, width, height, self.colour))
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // Nobody is left to be told that it failed.
            drop(self.write("\x1b[?25h\x1b[?1049l"));
        }
    }
}

/// Lines from the top left corner on; what was there before is erased as it goes, so that
/// nothing flickers.
fn frame(lines: &[Line], width: usize, height: usize, colour: bool) -> String {
    let is_cut = lines.len() > height;
    let shown = if is_cut { height - 1 } else { lines.len() };
    let more = is_cut.then(|| Line::new(Tone::Warning, format!("… {} more", lines.len() - shown)));
    let rows: Vec<String> = lines
        .iter()
        .take(shown)
        .chain(&more)
        .map(|line| line.shown(width, colour) + "\x1b[K")
        .collect();
    format!("\x1b[H{}\x1b[J", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_terminal_shows_what_fits() {
        let lines: Vec<Line> =
            (0..5).map(|number| Line::new(Tone::Plain, format!("line {number}"))).collect();
        let shown = frame(&lines, 4, 3, false);
        assert_eq!(shown, "\x1b[Hline\x1b[K\nline\x1b[K\n… 3 \x1b[K\x1b[J");
        assert!(frame(&lines, 80, 5, false).contains("line 4"));
    }
}
