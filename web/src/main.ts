import './app.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { Dashboard } from './shell/dashboard.svelte';

const target = document.getElementById('app');
if (target === null) throw new Error('index.html has no #app');

const socketUrl = new URL('/api/ws', location.href);
socketUrl.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';

mount(App, { target, props: { dashboard: new Dashboard(socketUrl.href) } });
