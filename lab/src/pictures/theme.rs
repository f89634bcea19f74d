//! Colours for a light and for a dark page.

use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontFamily, FontTransform, IntoFont, RGBColor, TextStyle};

pub(super) struct Theme {
    pub(super) name: &'static str,
    pub(super) page: RGBColor,
    pub(super) ink: RGBColor,
    pub(super) quiet: RGBColor,
    pub(super) line: RGBColor,
    pub(super) term: RGBColor,
    /// On a term's bar.
    pub(super) on_term: RGBColor,
    pub(super) gap: RGBColor,
    pub(super) fault: RGBColor,
    pub(super) network: RGBColor,
    pub(super) order: RGBColor,
}

pub(super) const LIGHT: Theme = Theme {
    name: "light",
    page: RGBColor(255, 255, 255),
    ink: RGBColor(31, 35, 40),
    quiet: RGBColor(89, 99, 110),
    line: RGBColor(218, 223, 229),
    term: RGBColor(9, 105, 218),
    on_term: RGBColor(255, 255, 255),
    gap: RGBColor(207, 34, 46),
    fault: RGBColor(31, 35, 40),
    network: RGBColor(154, 103, 0),
    order: RGBColor(130, 80, 223),
};

pub(super) const DARK: Theme = Theme {
    name: "dark",
    page: RGBColor(13, 17, 23),
    ink: RGBColor(240, 246, 252),
    quiet: RGBColor(145, 152, 161),
    line: RGBColor(50, 57, 66),
    term: RGBColor(56, 139, 253),
    on_term: RGBColor(13, 17, 23),
    gap: RGBColor(248, 81, 73),
    fault: RGBColor(240, 246, 252),
    network: RGBColor(210, 153, 34),
    order: RGBColor(188, 140, 255),
};

/// Where a text stands beside its point.
#[derive(Clone, Copy)]
pub(super) enum Beside {
    /// It begins there.
    Left,
    Middle,
    /// It ends there.
    Right,
}

/// A text at the height of its point.
pub(super) fn text(size: i32, colour: RGBColor, beside: Beside) -> TextStyle<'static> {
    let h_pos = match beside {
        Beside::Left => HPos::Left,
        Beside::Middle => HPos::Center,
        Beside::Right => HPos::Right,
    };
    let font = (FontFamily::SansSerif, size)
        .into_font()
        .transform(FontTransform::None);
    TextStyle {
        font,
        color: colour.to_backend_color(),
        pos: Pos::new(h_pos, VPos::Center),
    }
}

/// In the unit that a reader expects.
pub(super) fn duration(milliseconds: f64) -> String {
    if milliseconds >= 995.0 {
        let seconds = format!("{:.2}", milliseconds / 1000.0);
        format!("{} s", seconds.trim_end_matches('0').trim_end_matches('.'))
    } else if milliseconds >= 9.95 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{milliseconds:.1} ms")
    }
}
