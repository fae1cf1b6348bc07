//! The calls of `toro-metrics` in an image without metrics: nothing is counted, and nothing is left of them.

/// The requests of a service, not counted: the image is built without the feature `metrics`.
#[derive(Debug)]
pub struct Requests;

/// The moment at which a request has arrived, not noted.
#[derive(Clone, Copy, Debug)]
pub struct Begun;

impl Requests {
    /// For a service that the metrics would call `service`.
    pub const fn new(_service: &'static str) -> Self {
        Self
    }

    /// Does nothing.
    pub fn announce(&'static self) {}

    /// Notes nothing.
    #[inline]
    pub fn begin() -> Begun {
        Begun
    }

    /// Counts nothing.
    #[inline]
    pub fn end(&self, _begun: Begun) {}
}
