/** Whether one topic fits one pattern. Many patterns at once are the router's business. */

/**
 * A test of topics against a pattern that `checkPattern` has let through: `*` is one segment; `#`, at the end, is the rest:
 * zero or more. @internal
 */
export function patternMatcher(pattern: string): (topic: string) => boolean {
  const wanted = pattern.split('.');
  const hasRest = wanted.at(-1) === '#';
  if (hasRest) wanted.pop();
  return (topic) => {
    const given = topic.split('.');
    const isLongEnough = hasRest ? given.length >= wanted.length : given.length === wanted.length;
    return isLongEnough && wanted.every((segment, place) => segment === '*' || segment === given[place]);
  };
}
