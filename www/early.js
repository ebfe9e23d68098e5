// Before anything is drawn: the theme that was chosen, and whether a link is
// being opened, so that nothing changes its look or its place afterwards.
'use strict';

try {
  const theme = localStorage.getItem('theme');
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // A browser may keep nothing; the system's wish holds then.
}
if (location.hash.length > 1) document.body.dataset.state = 'opening';
