// The guide's React hook, for a long-lived page: events keep the hub's ids (a Date.now() is the same for two events of
// one millisecond), their number stays bounded, and a stream that falls silent is opened anew where it was. The URL may be
// relative to the page; when it changes, the events of the old one go.
import { useEffect, useState } from 'react';

const MOST_EVENTS = 500;
const RETRY = 3000;
const CONTROL = new Set(['connected', 'heartbeat', 'goodbye']);

export function useAgentStream(url = 'http://localhost:5000/api/stream') {
    const [events, setEvents] = useState([]);
    const [isConnected, setIsConnected] = useState(false);

    useEffect(() => {
        let source;
        let silence;
        let lastId = '';
        let patience = 45_000;
        setEvents([]);

        const open = () => {
            const target = new URL(url, window.location.href);
            if (lastId) target.searchParams.set('last_event_id', lastId);
            source = new EventSource(target);
            source.onopen = () => setIsConnected(true);
            source.onerror = () => {
                setIsConnected(false);
                if (source.readyState !== EventSource.CLOSED) return;
                // At an answer that is no stream (a proxy's 502 while the hub restarts) a browser gives up for good.
                clearTimeout(silence);
                silence = setTimeout(open, RETRY);
            };
            source.onmessage = (message) => {
                const event = JSON.parse(message.data);
                if (event.type === 'connected') patience = 2.5 * event.heartbeat * 1000;
                lastId = message.lastEventId || lastId || event.cursor || '';
                listen();
                if (!CONTROL.has(event.type)) {
                    setEvents((previous) => [...previous, event].slice(-MOST_EVENTS));
                }
            };
            listen();
        };

        const listen = () => {
            clearTimeout(silence);
            silence = setTimeout(() => {
                source.close();
                setIsConnected(false);
                open();
            }, patience);
        };

        open();
        return () => {
            clearTimeout(silence);
            source.close();
            setIsConnected(false);
        };
    }, [url]);

    return { events, isConnected };
}
