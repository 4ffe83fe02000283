import Conversations from './conversations';

export default function Page() {
  return (
    <>
      <h1>Live conversations</h1>
      <Conversations />
    </>
  );
}
