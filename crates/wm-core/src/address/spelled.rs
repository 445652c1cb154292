use std::fmt;

/// A canonical text and, where it differs, the spelling it came from: one allocation for both.
///
/// Neither is longer than a few hundred octets, so the boundary fits in 16 bits.
#[derive(Clone)]
pub(super) struct Spelled {
    /// The canonical text, followed by the original if that differs.
    text: Box<str>,
    canonical: u16,
}

impl Spelled {
    pub(super) fn new(canonical: &str, original: &str) -> Self {
        debug_assert!(canonical.len() <= usize::from(u16::MAX));
        let text = if canonical == original {
            canonical.into()
        } else {
            [canonical, original].concat().into()
        };
        Self {
            text,
            canonical: canonical.len() as u16,
        }
    }

    pub(super) fn canonical(&self) -> &str {
        self.parts().0
    }

    pub(super) fn original(&self) -> &str {
        match self.parts() {
            (canonical, "") => canonical,
            (_, original) => original,
        }
    }

    fn parts(&self) -> (&str, &str) {
        // `new` put the boundary there; the fallback only spares a panic branch.
        self.text
            .split_at_checked(usize::from(self.canonical))
            .unwrap_or((&self.text, ""))
    }
}

impl fmt::Debug for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.original(), f)
    }
}
