//! Takes secrets out of text before it is kept: passwords and keys by the name next to them,
//! credentials in URLs and headers, tokens by their shape, private keys by their frame.
//!
//! Works on names and shapes, so a secret that has neither passes. Where text is doubtful, an
//! assignment is masked and a sentence is left alone.

mod assignments;
mod shapes;

use perennial_secret::REDACTED;

/// Redacts line by line; private key blocks span lines, so it remembers being inside one.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    inside_key: bool,
}

impl Redactor {
    /// The line without its secrets.
    pub fn line(&mut self, line: &str) -> String {
        let line = self.without_key_blocks(line);
        let line = shapes::mask_urls(&line);
        let line = shapes::mask_words(&line);
        let line = shapes::mask_schemes(&line);
        assignments::mask(&line)
    }

    fn without_key_blocks(&mut self, line: &str) -> String {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        loop {
            if self.inside_key {
                let Some(end) = rest.find("-----END ") else {
                    return format!("{out}{REDACTED}");
                };
                let after = rest.get(end + "-----END ".len()..).unwrap_or_default();
                let closed = after.find("-----").map_or(after.len(), |at| at + "-----".len());
                rest = after.get(closed..).unwrap_or_default();
                out.push_str(REDACTED);
                self.inside_key = false;
            }
            let Some(begin) = private_key_begin(rest) else {
                return out + rest;
            };
            out.push_str(rest.get(..begin).unwrap_or_default());
            rest = rest.get(begin..).unwrap_or_default();
            self.inside_key = true;
        }
    }
}

fn private_key_begin(text: &str) -> Option<usize> {
    let begin = text.find("-----BEGIN ")?;
    let label = text.get(begin..)?.get("-----BEGIN ".len()..)?;
    let label = label.get(..label.find("-----")?)?;
    label.contains("PRIVATE KEY").then_some(begin)
}

#[cfg(test)]
mod tests;
