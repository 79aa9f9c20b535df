import type { zh } from './zh';

/** The words of the page's frame that are not in the first dictionary, in English. */
export const en = {
  'signin.dialog': 'Sign in again',
  'signin.dialog.text':
    'You are no longer signed in: the token was changed, or you signed out elsewhere. The page stays as it is, with all that you typed; once you have signed in, what you just did goes through.',
  'signin.token': 'Token',
  'signin.submit': 'Sign in',
  'signin.submitting': 'Signing in…',
  'signin.show': 'Show the token',
  'signin.empty': 'Enter the token',
  'signin.wrong': 'That is not the token. Check it and try again.',
  'signin.where':
    'The token is the setting server.token; where that is not set, it stands in the file data/token of the server’s home.',
  'signin.address': 'Or open the sign-in address that the server printed at its start:',
  'signin.later': 'Not now',
  'signin.done': 'Signed in',

  'banner.slow': 'The server takes long to answer; still waiting. What you see is as it was before.',
  'banner.signedOut': 'You are not signed in, so nothing is updated. What you see is as it was before.',
  'banner.signIn': 'Sign in',
  'banner.refused': 'The server refused the connection: {detail}',

  'panel.open': 'Details of the connection',
  'panel.connecting': 'Connecting. If that takes long, check the network, and whether the server is running.',
  'panel.live': 'Live: whatever changes on disk, or through somebody else’s page, shows here at once.',
  'panel.waiting':
    'The connection to the server is lost. The page reconnects by itself and catches up with what it missed; there is no need to refresh.',
  'panel.signIn': 'The server wants you to sign in, so nothing is updated. It goes on by itself once you have.',
  'panel.refused': 'The server refused the connection, so the page stopped trying. See to the reason below, then connect again.',
  'panel.server': 'Server',
  'panel.since': 'Since',
  'panel.next': 'Next try',
  'panel.next.value': 'in {seconds} {seconds|second|seconds} (number {attempt})',
  'panel.reason': 'Reason',
} satisfies Record<keyof typeof zh, string>;
