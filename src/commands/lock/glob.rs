//! Patterns with `*` and `?`.

/// Returns whether `text` is like `pattern`: `*` stands for any letters or none, `?` for any one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where to go on when the letters after the latest `*` turn out not to fit: one letter further.
    let mut retry = None;
    let (mut at, mut seen) = (0, 0);
    while let Some(letter) = text.get(seen) {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                retry = Some((at, seen));
            }
            Some(wanted) if *wanted == '?' || wanted == letter => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((after_star, tried)) = retry else { return false };
                retry = Some((after_star, tried + 1));
                (at, seen) = (after_star, tried + 1);
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_letters() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("ada@*", "ada@host"),
            ("*@ci-?", "root@ci-7"),
            ("*a*b*c", "xxaxxbxxbxxc"),
            ("J?rgen*", "Jürgen@büro"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("ada", "ada@host"), ("?", ""), ("*b", "abc"), ("a*?", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_the_text_times_the_pattern() {
        assert!(!matches(&"*a".repeat(200), &"b".repeat(20_000)));
    }
}
