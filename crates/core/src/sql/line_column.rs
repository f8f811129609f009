//! Where a byte offset stands, in the terms of an editor.

/// The line and the column of a byte offset of `text`, both counted from 1; columns count characters.
///
/// An offset past the end is the place after the last character; one inside a character is that character's.
/// A line ends with `\n`.
pub fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_is_line_one_column_one() {
        assert_eq!(line_column("", 0), (1, 1));
        assert_eq!(line_column("abc", 0), (1, 1));
    }

    #[test]
    fn columns_count_characters_and_lines_end_with_a_newline() {
        let text = "añ€😀x\r\nyz";
        assert_eq!(line_column(text, text.find('x').unwrap()), (1, 5));
        assert_eq!(line_column(text, text.find('\n').unwrap()), (1, 7));
        assert_eq!(line_column(text, text.find('y').unwrap()), (2, 1));
        assert_eq!(line_column(text, text.find('z').unwrap()), (2, 2));
    }

    #[test]
    fn an_offset_past_the_end_or_inside_a_character_is_clamped() {
        assert_eq!(line_column("ab\n", 99), (2, 1));
        assert_eq!(line_column("a€b", 2), (1, 2));
    }
}
