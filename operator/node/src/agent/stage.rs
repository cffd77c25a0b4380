//! Names of stages: programs that are used to another secrets manager ask for its own.

/// Ours, AWS', Alibaba's.
const STAGE_NAMES: [(&str, &str, &str); 3] = [
    ("Current", "AWSCURRENT", "ACSCurrent"),
    ("Previous", "AWSPREVIOUS", "ACSPrevious"),
    ("Pending", "AWSPENDING", "ACSPending"),
];

/// Our name of a stage that somebody asks for.
pub(super) fn canonical(asked: &str) -> &str {
    let known = STAGE_NAMES
        .iter()
        .find(|(_, aws, alibaba)| asked == *aws || asked == *alibaba);
    known.map_or(asked, |(ours, ..)| ours)
}

/// AWS' name of one of our stages, as answers in its form have it. A custom stage has its own.
pub(super) fn aws_name(stage: &str) -> &str {
    let known = STAGE_NAMES.iter().find(|(ours, ..)| stage == *ours);
    known.map_or(stage, |(_, aws, _)| aws)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_have_the_names_that_programs_know() {
        for asked in ["Previous", "AWSPREVIOUS", "ACSPrevious"] {
            assert_eq!(canonical(asked), "Previous");
        }
        assert_eq!((canonical("blue"), aws_name("blue")), ("blue", "blue"));
        assert_eq!(aws_name("Current"), "AWSCURRENT");
    }
}
