"""Titles and details of changes. They are the same for changes with and without a fault."""

from __future__ import annotations

from firewatch_next.changes.change import ChangeKind
from firewatch_next.changes.make_change import ChangeTexts
from firewatch_next.simulation.log_event import Phrasings, Wording
from firewatch_next.stacks.stack import parse_messages
from openenv_kit.bitstream import BitStream

AUTHORS = (
    "a.lindqvist", "b.moreau", "c.adeyemi", "d.kovacs", "e.tanaka", "f.rossi", "g.haddad",
    "h.nowak", "i.santos", "j.weber", "k.osei", "l.petrov",
)  # fmt: skip

# Topics by kind. A topic's phrasings are indented: open ones, then test, then sealed.
_TITLES = """
deploy features
    Weekly release
    Release of the current main branch
    Ship accumulated work of the team
    Roll forward to the latest tag
deploy dependencies
    Update dependencies
    Raise library versions
    Bump third-party packages
    Refresh the lock file
deploy refactoring
    Move request handling into modules
    Split the handler module
    Tidy up the service layer
    Rework internal package layout
deploy model
    New fields in the data model
    Extend stored entities
    Add attributes to persisted objects
    Schema work for upcoming reports
deploy fix
    Fix wrong answers to rare requests
    Correct a bug reported by support
    Repair handling of an edge case
    Bugfix for a customer ticket
deploy performance
    Speed up the hot path
    Less work for each request
    Optimize common operations
    Trim overhead of frequent calls
config tuning
    Adjust {key}
    Review of {key}
    Tune {key}
    {key} set after capacity meeting
config cost
    Cost review: {key}
    Savings: {key}
    Budget pass over {key}
    Spend reduction, {key}
config alignment
    Align {key} with the other services
    Same {key} as in staging
    Harmonize {key} across teams
    Standard value for {key}
revision routine
    Update templates of the configuration
    New configuration bundle
    Regenerate rendered config
    Refresh config package
revision endpoints
    Reorder sections of the configuration
    Merge configuration files
    Restructure config maps
    Consolidate settings files
flag rollout
    Continue the rollout of {key}
    Change the share of {key}
    Next step for {key}
    Adjust exposure of {key}
flag experiment
    Experiment with {key}
    Trial of {key}
    Compare variants of {key}
    Study on {key}
migration index
    Maintenance of {key}
    Rework {key}
    Index work on {key}
    Storage upkeep: {key}
migration cleanup
    Clean-up around {key}
    Review of {key} by the database team
    Housekeeping for {key}
    DBA pass over {key}
job start
    Start {key}
    Run {key} earlier today
    Launch {key} by hand
    Trigger {key} on request
job report
    Figures for finance: {key}
    Data for the monthly report from {key}
    Export for controlling via {key}
    {key} for the audit team
scale capacity
    More room before the weekend
    Capacity for the campaign
    Headroom ahead of the sale
    Size for expected demand
scale review
    Capacity review
    Adjust the number of pods
    Sizing pass
    Replica count revisited
infra nodes
    Replace the node image
    Update the node pool
    Roll the machine image
    Refresh hosts
infra network
    Update the network plugin
    Renew network rules
    Refresh cluster networking
    Overhaul of routing agents
certificate renewal
    Renew the service certificate
    Routine certificate rotation
    Scheduled key rotation
    Reissue TLS material
"""
_DETAILS = """
reviewed
    Reviewed by two colleagues
    Approved in code review
    Two approvals
    Signed off by the owning team
staging
    Ran in staging since Monday
    Tested in staging
    Soaked in the test cluster
    Verified in preproduction
ticket
    Planned in the team's board
    Part of the sprint
    From the backlog
    Scheduled work
contact
    Contact: author of the change
    Questions to the author
    Author on call today
    Ask the author before touching
"""
TITLES: dict[str, Phrasings] = parse_messages(_TITLES)
DETAILS: dict[str, Phrasings] = parse_messages(_DETAILS)
FIX_TOPIC = "deploy fix"


def choose_texts(
    draws: BitStream,
    kind: ChangeKind,
    wording: Wording,
    key: str,
    *,
    is_fix: bool = False,
    change_id: str = "",
) -> ChangeTexts:
    """Return the texts of a change.

    Args:
        draws: stream of the change.
        kind: its kind.
        wording: phrasings of the task.
        key: configuration key, flag, index or job, or "".
        is_fix: a deploy that repaired a bug says so.
        change_id: such as "CHG-4471".
    """
    prefix = "revision" if kind is ChangeKind.CONFIG and not key else kind.value
    topics = [t for t in TITLES if t.split()[0] == prefix and t != FIX_TOPIC]
    topic = FIX_TOPIC if is_fix else draws.choose(topics)
    title = draws.choose(TITLES[topic].of_wording(wording)).format(key=key)
    details = draws.choose(DETAILS[draws.choose(list(DETAILS))].of_wording(wording))
    return ChangeTexts(change_id, title, details, draws.choose(AUTHORS))
